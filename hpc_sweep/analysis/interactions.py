"""Two-way interactions: whether the effect of one hyperparameter depends on the level of another."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.align import align
from hpc_sweep.analysis.distributions import f_tail
from hpc_sweep.analysis.factorial import MOST_LEVELS, Factorial
from hpc_sweep.analysis.scores import tabulate

if TYPE_CHECKING:
    from hpc_sweep.analysis.effects import Grade
    from hpc_sweep.analysis.scores import Array, Integers, Scores

MOST_CONFIGURATIONS, MOST_COLUMNS = 2_000, 300
ALPHA = 0.05


@dataclass(frozen=True)
class Interaction:
    """The F test of one pair of hyperparameters: extra sum of squares over the noise, given all other pairs.

    ``sd``: standard deviation over the configurations of what the pair explains beyond its members; ``n``: how many.
    """

    names: tuple[str, str]
    f: float
    df: tuple[float, float]
    p: float
    holm: float
    grade: Grade
    sd: float
    n: int


def interactions(scores: Scores) -> list[Interaction]:
    """Return the test of every pair of hyperparameters, corrected for their number (Holm 1979).

    The noise is that between replicates; with one replicate it is what levels and pairs of levels leave. Pairs with a
    hyperparameter of many numbers are not tested: it is divided into classes, and what its values do within a class
    would look like an interaction. For the same reason the noise of the other pairs is then at least what the model
    leaves. Empty where nothing is known of the noise, and for tables too large to be fitted at once.
    """
    cells = tabulate(scores)
    fit = align(cells, cells.usable)
    places = np.flatnonzero(cells.usable)
    levels = Factorial.of([scores.configurations[place] for place in places.tolist()])
    drawn = {k for k in range(len(levels.names)) if levels.continuous(k)}
    factorial = levels.grouped()
    kept = [k for k, levels in enumerate(factorial.levels) if len(levels) <= MOST_LEVELS]
    blocks = [_dummies(factorial.codes[:, k]) for k in kept]
    plain = [at for at, k in enumerate(kept) if k not in drawn]
    pairs = {(a, b): _products(blocks[a], blocks[b]) for a, b in combinations(plain, 2)}
    width = 1 + sum(block.shape[1] for block in (*blocks, *pairs.values()))
    if not pairs or len(places) > MOST_CONFIGURATIONS or width > MOST_COLUMNS:
        return []
    means, weight = fit.mean[places], fit.runs[places].astype(float)
    full = _squares_left(means, weight, [*blocks, *pairs.values()])
    noise, df = (fit.pooled, fit.total_df) if fit.total_df > 0 else _left_over(full, len(places))
    if drawn:
        left = _left_over(full, len(places))
        noise, df = max((noise, df), left) if left[1] > 0 else (math.nan, 0.0)
    if not (df > 0 and noise > 0):
        return []
    names = [factorial.names[k] for k in kept]
    found = []
    for pair in pairs:
        without = _squares_left(means, weight, [*blocks, *(block for other, block in pairs.items() if other != pair)])
        extra, extra_df = without[0] - full[0], float(full[1] - without[1])
        if extra_df > 0:
            f = max(extra, 0.0) / extra_df / noise
            sd = math.sqrt(max(extra - extra_df * noise, 0.0) / float(weight.sum()))
            p = f_tail(f, extra_df, df)
            told = (names[pair[0]], names[pair[1]])
            found.append(Interaction(told, float(f), (extra_df, df), p, p, "not resolved", sd, len(places)))
    return _corrected(found)


def _dummies(codes: Integers) -> Array:
    """Return a centred column for each level but the last, ``[N, levels - 1]``."""
    columns = (codes[:, None] == np.arange(codes.max())[None, :]).astype(float)
    return np.asarray(columns - columns.mean(axis=0), dtype=float)


def _products(left: Array, right: Array) -> Array:
    return np.asarray((left[:, :, None] * right[:, None, :]).reshape(len(left), -1), dtype=float)


def _squares_left(means: Array, weight: Array, blocks: list[Array]) -> tuple[float, int]:
    """Return the weighted squares that a least-squares fit leaves, in units of one run, and the rank of the fit."""
    root = np.sqrt(weight)
    design = np.column_stack([np.ones(len(means)), *blocks]) * root[:, None]
    coefficients, _, rank, _ = np.linalg.lstsq(design, means * root, rcond=1e-10)
    left = means * root - design @ coefficients
    return float(left @ left), int(rank)


def _left_over(full: tuple[float, int], size: int) -> tuple[float, float]:
    """Return the noise that the whole model leaves of single runs, and its degrees of freedom."""
    df = float(size - full[1])
    return (full[0] / df, df) if df > 0 else (math.nan, 0.0)


def _corrected(found: list[Interaction]) -> list[Interaction]:
    order = sorted(range(len(found)), key=lambda at: found[at].p)
    corrected, worst = list(found), 0.0
    for rank, at in enumerate(order):
        worst = max(worst, min(1.0, found[at].p * (len(found) - rank)))
        corrected[at] = replace(found[at], holm=worst, grade=_grade(found[at].p, worst))
    return corrected


def _grade(p: float, holm: float) -> Grade:
    if holm < ALPHA:
        return "supported"
    return "suggestive" if p < ALPHA else "not resolved"
