"""The leader, its score with intervals, and whether the model fits it (steps S5 and S6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.distributions import normal_tail_quantile, student_quantile

if TYPE_CHECKING:
    from hpc_sweep.analysis.align import Alignment
    from hpc_sweep.analysis.posterior import Posterior
    from hpc_sweep.analysis.scores import Array

Interval = tuple[float, float]

OUTSTANDING = 3.0  # cavity z above which a leader stands out from its neighbours, for up to 185 configurations;
CHANCE = 0.25  # above, the z that the luckiest of so many reaches by chance in less than a quarter of sweeps
SAME = 1e-9  # scores closer than this part of their spread are equal, whatever the order of the sums


@dataclass(frozen=True)
class Leader:
    """The configuration with the highest shrunk score; ``index`` counts within the configurations that were modelled.

    ``observed`` c_L, ``shrunk`` m_L, ``se`` sqrt(V_LL), in units of the score. ``interval``: 95 %, for the mean over
    the replicates that were used; ``absolute``: 95 %, for other replicates too. ``z``: the cavity z; above 3 (more for
    more than 185 configurations) the leader ``stands_out`` and both intervals reach up to what was observed.
    """

    index: int
    observed: float
    shrunk: float
    se: float
    interval: Interval
    absolute: Interval
    z: float
    stands_out: bool


def lead(posterior: Posterior, means: Array, fit: Alignment, nu: float, common: float = 0.0) -> Leader:
    """Return the leader L = argmax m with m_L +- t sqrt(V_LL), t of ``nu`` degrees of freedom (S5, S6).

    ``means`` ``[N]``: observed means; ``fit``: the alignment, for the shifts of the replicates; ``common``: variance of
    the absolute score that the finite evaluation set adds to all configurations alike.
    """
    index = best_place(posterior.mean, means)
    observed, shrunk = float(means[index]), float(posterior.mean[index])
    variance, noise = float(posterior.variance[index]), float(posterior.noise[index])
    z = cavity(observed, shrunk, variance, noise)
    stands_out = z > max(OUTSTANDING, normal_tail_quantile(CHANCE / len(means)))
    shift, df = shift_variance(fit)
    total = variance + shift + common
    df_total = satterthwaite((variance, nu), (shift, df), (common, math.inf))
    return Leader(
        index,
        observed,
        shrunk,
        math.sqrt(variance),
        _interval((observed, shrunk), variance, noise, nu, widen=stands_out),
        _interval((observed, shrunk), total, noise + shift + common, df_total, widen=stands_out),
        z,
        stands_out=stands_out,
    )


def best_place(shrunk: Array, observed: Array) -> int:
    """Return the place of the best shrunk score; of those that are equal but for rounding, the best observed one."""
    equal = shrunk >= shrunk.max() - SAME * float(np.ptp(observed))
    return int(np.argmax(np.where(equal, observed, -np.inf)))


def cavity(observed: float, shrunk: float, variance: float, noise: float) -> float:
    """Return z of an observation against what all others predict for it (leave-one-out by the cavity distribution).

    With V_- = 1 / (1/V - 1/v), m_- = V_- (m/V - c/v) and z = (c - m_-) / sqrt(v + V_-), algebra leaves
    z = (c - m) / sqrt(v - V). 0 where the others say nothing (V >= v).
    """
    return (observed - shrunk) / math.sqrt(noise - variance) if noise > variance else 0.0


def shift_variance(fit: Alignment) -> tuple[float, float]:
    """Return (variance of the mean shift of the replicates used, its degrees of freedom R - 1); (0, inf) unpaired.

    sigma_s^2 / R with sigma_s^2 = max(0, sum s_r^2 / (R - 1) - s2 / N).
    """
    replicates = len(fit.shifts)
    if replicates < 2:  # noqa: PLR2004 - one replicate shows no shift
        return 0.0, math.inf
    sampled = float(fit.shifts @ fit.shifts) / (replicates - 1)
    chance = (fit.pooled if fit.total_df > 0 else 0.0) / np.count_nonzero(fit.runs)
    return max(0.0, sampled - chance) / replicates, float(replicates - 1)


def satterthwaite(*parts: tuple[float, float]) -> float:
    """Return the degrees of freedom of a sum of independent variances, given (variance, df) of each (Satterthwaite)."""
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / df for variance, df in parts)
    return total**2 / spread if spread > 0 else math.inf


def _interval(point: tuple[float, float], variance: float, noise: float, df: float, *, widen: bool) -> Interval:
    """Return [m - t se, m + t se]; the upper end at least c + t sqrt(v) for a leader that stands out (S6)."""
    observed, shrunk = point
    quantile = student_quantile(0.975, df)
    low, high = shrunk - quantile * math.sqrt(variance), shrunk + quantile * math.sqrt(variance)
    return low, max(high, observed + quantile * math.sqrt(noise)) if widen else high
