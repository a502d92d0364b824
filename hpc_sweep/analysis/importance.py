"""How much of the differences between configurations each hyperparameter explains, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.align import align
from hpc_sweep.analysis.contrasts import residual_variance
from hpc_sweep.analysis.factorial import MOST_LEVELS, Factorial
from hpc_sweep.analysis.scores import tabulate

if TYPE_CHECKING:
    from hpc_sweep.analysis.scores import Array, Integers, Scores

DRAWS = 400
SEED = 20260101
_FEWEST, _NUMBERS = 50, 4_000_000
REST = "everything else"


@dataclass(frozen=True)
class Share:
    """The part of the variance between configurations that the levels of one hyperparameter explain by themselves.

    ``low`` and ``high`` are the 2.5 and 97.5 percentiles over bootstrap draws, None where no noise is known.
    """

    name: str
    share: float
    low: float | None
    high: float | None


def importance(scores: Scores) -> list[Share]:
    """Return the share of each hyperparameter, largest first, and of everything else; many numbers go into classes.

    Shares are of sums of squares between unweighted level means, less what noise alone adds to them. The bootstrap is
    parametric: the noise of every mean is drawn anew, normal, with the variance that the replicates show (that the
    two-way model leaves, for one replicate).
    """
    cells = tabulate(scores)
    fit = align(cells, cells.usable)
    places = np.flatnonzero(cells.usable)
    factorial = Factorial.of([scores.configurations[place] for place in places.tolist()]).grouped()
    means, runs = fit.mean[places], fit.runs[places]
    kept = [k for k, levels in enumerate(factorial.levels) if len(levels) <= MOST_LEVELS]
    if not kept or len(places) < 3:  # noqa: PLR2004 because two configurations have one difference
        return []
    variance = _variance(fit.pooled if fit.total_df > 0 else float("nan"), means, runs, factorial)
    matrices = [_level_means(factorial.codes[:, k], len(factorial.levels[k])) for k in kept]
    point = _shares(means[None, :], matrices, variance)[0]
    drawn = _drawn(means, variance, matrices)
    names = [*(factorial.names[k] for k in kept), REST]
    found = [_share(name, at, point, drawn) for at, name in enumerate(names)]
    return [*sorted(found[:-1], key=lambda one: -one.share), found[-1]]


def _variance(pooled: float, means: Array, runs: Integers, factorial: Factorial) -> Array | None:
    """Return the variance of every mean, None where nothing is known of it."""
    if np.isfinite(pooled):
        return np.asarray(pooled / runs, dtype=float)
    residual, df = residual_variance(means, factorial)
    return np.full(len(means), residual) if df > 0 else None


def _level_means(codes: Integers, count: int) -> tuple[Array, Array]:
    """Return the matrix that takes configurations to level means, and the weights of the levels."""
    matrix = (codes[None, :] == np.arange(count)[:, None]).astype(float)
    sizes = matrix.sum(axis=1)
    return matrix / sizes[:, None], sizes / sizes.sum()


def _shares(drawn: Array, matrices: list[tuple[Array, Array]], variance: Array | None) -> Array:
    """Return the shares of the hyperparameters and of the rest for each row of means, ``[draws, q + 1]``."""
    noise = np.zeros(drawn.shape[1]) if variance is None else variance
    total = np.maximum(drawn.var(axis=1) - noise.mean() * (1 - 1 / drawn.shape[1]), 1e-300)
    parts = []
    for matrix, weights in matrices:
        level = drawn @ matrix.T
        centre = level @ weights
        spread = ((level - centre[:, None]) ** 2) @ weights
        by_noise = float(weights @ (matrix**2 @ noise)) - float(noise.mean()) / drawn.shape[1]
        parts.append(np.maximum(spread - by_noise, 0) / total)
    shares = np.clip(np.stack(parts, axis=1), 0, None)
    scale = np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    shares = shares / scale
    return np.concatenate([shares, np.maximum(1 - shares.sum(axis=1, keepdims=True), 0)], axis=1)


def _drawn(means: Array, variance: Array | None, matrices: list[tuple[Array, Array]]) -> Array | None:
    """Return the shares under noise drawn anew; the means already hold their own noise once, so it counts twice."""
    if variance is None:
        return None
    generator = np.random.default_rng(SEED)
    draws = max(_FEWEST, min(DRAWS, _NUMBERS // len(means)))
    noisy = means[None, :] + generator.standard_normal((draws, len(means))) * np.sqrt(variance)[None, :]
    return _shares(noisy, matrices, 2 * variance)


def _share(name: str, at: int, point: Array, drawn: Array | None) -> Share:
    if drawn is None:
        return Share(name, float(point[at]), None, None)
    low, high = np.quantile(drawn[:, at], (0.025, 0.975))
    return Share(name, float(point[at]), min(float(low), float(point[at])), max(float(high), float(point[at])))
