"""The true scores of all configurations, given their means: a factorial model that borrows strength (step S4).

::

    c = mu + u,  u ~ N(0, K),  K = a1^2 K1 + a2^2 K2 + a3^2 I     levels, pairs of levels, the rest
    mean observed ~ N(c, D)                                       D = diag(v), the noise of step S3
    S = K + D,  b = S^-1 1,  a = 1'b,  mu^ = b'x / a              generalised least squares
    m = x - D S^-1 (x - mu^)                                      best linear unbiased prediction (Robinson 1991)
    V = D - D S^-1 D + (D b)(D b)' / a                            its error, that of mu^ included

The components a are integrated, not plugged in: 64 points, and one where nothing matters (K = 0), weighted by their
restricted likelihood (REML).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpc_sweep.analysis.covariance import inverter
from hpc_sweep.analysis.distributions import sobol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpc_sweep.analysis.covariance import Inverse
    from hpc_sweep.analysis.factorial import Factorial
    from hpc_sweep.analysis.scores import Array

POINTS = 64
LOW, HIGH = np.array([-1.5, -1.5, -1.5]), np.array([0.3, 0.0, 0.0])  # of log10 a, relative to the spread of the means
NOTHING_MATTERS = 0.1
"""The prior probability of K = 0; without it pure noise is announced higher (benchmarks/decision.py, truth null)."""
ROUNDING = 1e-12
IRRELEVANT = 18.0  # a point whose log likelihood is this far below the best one has no weight in any printed digit


class Point(NamedTuple):
    """One choice of the components: the variances of levels, pairs of levels and the rest, and its prior."""

    levels: float
    pairs: float
    rest: float
    prior: float


@dataclass(frozen=True)
class Member:
    """The posterior under one choice of the components.

    ``mean`` m ``[N]``; ``likelihood``: its restricted log likelihood; ``noise`` diag D, ``inverse`` S^-1 and ``pull``
    D b / sqrt(a) are what V is made of.
    """

    mean: Array
    likelihood: float
    noise: Array
    inverse: Inverse
    pull: Array

    def variance(self) -> Array:
        """Return the diagonal of V, ``[N]``."""
        return np.asarray(self.noise - self.noise**2 * self.inverse.diagonal() + self.pull**2, dtype=float)

    def covariance(self, index: int) -> Array:
        """Return column ``index`` of V, ``[N]``."""
        unit = np.zeros(len(self.mean))
        unit[index] = self.noise[index]
        return np.asarray(unit - self.noise * self.inverse.times(unit) + self.pull * self.pull[index], dtype=float)


@dataclass(frozen=True)
class Posterior:
    """Mean m ``[N]`` and variance diag V ``[N]`` of the true scores, the components integrated.

    ``noise`` ``[N]``: variance of each observed mean: v, or the residual where one replicate shows no noise.
    ``members``, ``weights``: the choices of the components that count, and how much.
    """

    mean: Array
    variance: Array
    noise: Array
    members: tuple[Member, ...]
    weights: Array

    def covariance(self, index: int) -> Array:
        """Return column ``index`` of V = sum w (V_k + (m_k - m)(m_k - m)'), ``[N]``."""
        total = np.zeros(len(self.mean))
        for weight, member in zip(self.weights, self.members, strict=True):
            apart = member.mean - self.mean
            total += weight * (member.covariance(index) + apart * apart[index])
        return total


def integrate(means: Array, noise: Array | None, factorial: Factorial) -> Posterior:
    """Return the posterior of the configurations' true scores.

    ``means`` ``[N]``: observed means x; ``noise`` ``[N]``: their variances v, or None with one replicate, where noise
    cannot be told from what levels and pairs of levels leave unexplained: all of that residual is taken for noise.
    """
    spread = _spread(means, noise)
    if spread == 0:
        zeros = np.zeros(len(means))
        return Posterior(means.copy(), zeros, zeros, (), zeros[:0])
    columns = factorial.columns() if noise is not None else factorial.columns().shared()
    invert = inverter(columns)
    kept: list[tuple[float, Member]] = []
    for point in _points(spread, nothing=noise is not None and bool(noise.all())):
        residual = np.full(len(means), point.rest)
        own, diagonal = (residual, residual) if noise is None else (noise, residual + noise)
        member = predict(means, own, invert(np.array([point.levels, point.pairs]), diagonal))
        kept.append((member.likelihood + float(np.log(point.prior)), member))
        best = max(evidence for evidence, _ in kept)
        kept = [(evidence, one) for evidence, one in kept if evidence > best - IRRELEVANT]
    return _mix(*zip(*kept, strict=True))


def predict(means: Array, noise: Array, inverse: Inverse) -> Member:
    """Return the posterior for known components: ``inverse`` is S^-1, S = K + diag(noise)."""
    centre = float(means.mean())  # far from zero the products below would lose digits
    x = means - centre
    b, weighted = inverse.times(np.ones(len(x))), inverse.times(x)
    a = float(b.sum())
    residual = weighted - weighted.sum() / a * b
    likelihood = -0.5 * (inverse.log_determinant + np.log(a) + float(x @ residual))
    return Member(means - noise * residual, likelihood, noise, inverse, noise * b / np.sqrt(a))


def _spread(means: Array, noise: Array | None) -> float:
    """Return sd(x), or that of the noise where the means are equal but for rounding; 0 where nothing varies at all."""
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
    if spread > ROUNDING * float(np.abs(means).max()):
        return spread
    return 0.0 if noise is None else float(np.sqrt(np.median(noise)))


def _points(spread: float, *, nothing: bool) -> Iterator[Point]:
    """Yield a Sobol net of components, not scrambled, centred in its strata; and none at all where that may be."""
    net = sobol(POINTS) + 0.5 / POINTS
    prior = NOTHING_MATTERS if nothing else 0.0
    for levels, pairs, rest in ((spread * 10 ** (LOW + (HIGH - LOW) * net)) ** 2).tolist():
        yield Point(levels, pairs, rest, (1 - prior) / POINTS)
    if nothing:
        yield Point(0.0, 0.0, 0.0, prior)


def _mix(evidence: Sequence[float], members: Sequence[Member]) -> Posterior:
    """Return the mixture of some members, each weighted by its ``evidence``: the log of prior times likelihood."""
    weights = np.exp(np.array(evidence) - max(evidence))
    weights /= weights.sum()
    means = np.array([member.mean for member in members])
    mean = weights @ means
    within = sum(weight * member.variance() for weight, member in zip(weights, members, strict=True))
    variance = within + weights @ (means - mean) ** 2
    noise = weights @ np.array([member.noise for member in members])
    return Posterior(mean, np.maximum(variance, 0), noise, tuple(members), weights)
