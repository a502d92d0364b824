"""Which configurations cannot be told from the best (step S7): the tie set, the short list, and Hsu's set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr

from hpc_sweep.analysis.distributions import chi2_quantile

if TYPE_CHECKING:
    from hpc_sweep.analysis.model import Model
    from hpc_sweep.analysis.scores import Array, Integers, Mask

LEVEL = 0.80  # of the posterior tie set; calibrated by simulation: it holds the true best in 96 % of sweeps or more
LEVEL_MCB = 0.95
ONE_IN_TWENTY = 1.645  # normal quantile: P(theta_i > theta_L) >= .05
QUARTER = 0.25  # standard errors within which the simplest configuration may be taken
NORMAL_POINTS, CHI_POINTS = 60, 400


@dataclass(frozen=True)
class Ties:
    """Places among the configurations that were modelled, best first, the leader at the head.

    ``likely``: the tie set; ``short``: the short list for confirmation; ``compared``: Hsu's set, without the model.
    """

    likely: Integers
    short: Integers
    compared: Integers


def find_ties(model: Model) -> Ties:
    """Return who cannot be told from the best (S7)."""
    size = len(model.members)
    noise = model.noise
    likely = near_leader(model, dunnett(LEVEL, size - 1, noise.df))
    short = near_leader(model, ONE_IN_TWENTY)
    compared = best_by_comparison(model.means, noise.variance[model.members], noise.df)
    return Ties(_ranked(likely, model), _ranked(short, model), _ranked(compared, model))


def near_leader(model: Model, quantile: float) -> Mask:
    """Return who lies within ``quantile`` standard errors of the difference from the leader, ``[G]``."""
    posterior, leader = model.posterior, model.leader.index
    return within(posterior.mean, posterior.variance, model.leader_covariance, leader, quantile)


@lru_cache(maxsize=4096)
def dunnett(level: float, comparisons: int, df: float) -> float:
    """Return the one-sided Dunnett quantile for equally correlated comparisons (rho = .5) with one control.

    The value t with P(max_i T_i <= t) = ``level``, T_i = (X_i - X_0) / (sqrt(2) s), s^2 ~ chi^2_df / df:
    mean over s of integral Phi(sqrt(2) t s + z)^k phi(z) dz (Dunnett 1955), by 60 Gauss-Hermite points in z and 400
    midpoints of the quantiles of s. Deterministic; 0 without comparisons.
    """
    if comparisons == 0:
        return 0.0
    z, weights = np.polynomial.hermite_e.hermegauss(NORMAL_POINTS)
    weights = weights / weights.sum()
    s = np.sqrt(chi2_quantile((np.arange(CHI_POINTS) + 0.5) / CHI_POINTS, df) / df)

    def excess(t: float) -> float:
        inner = np.exp(comparisons * log_ndtr(math.sqrt(2) * t * s[:, None] + z[None, :])) @ weights
        return float(inner.mean()) - level

    high = 2.0
    while excess(high) < 0:
        high *= 2
    return float(brentq(excess, -4.0, high, xtol=1e-8))


def within(mean: Array, variance: Array, covariance: Array, leader: int, quantile: float) -> Mask:
    """Return who is in {i : m_L - m_i <= q SE_iL} + {L}, SE_iL^2 = V_ii + V_LL - 2 V_iL, ``[N]``.

    ``mean`` m, ``variance`` diag V, ``covariance`` column L of V, all ``[N]``.
    """
    error = np.sqrt(np.maximum(variance + variance[leader] - 2 * covariance, 0))
    inside = mean[leader] - mean <= quantile * error
    inside[leader] = True
    return np.asarray(inside, dtype=bool)


def best_by_comparison(means: Array, noise: Array, df: float) -> Mask:
    """Return Hsu's set of multiple comparisons with the best, without any model, ``[N]``.

    i is in the set iff c_i - c_j >= -d sqrt(v_i + v_j) for all j, d the .95 quantile. ``means`` c, ``noise`` v ``[N]``.
    A rival j that is at least matched in both mean and precision by another excludes no one whom that one spares, so
    only the best trade-offs of the two are compared with everyone: never N x N numbers.
    """
    d = dunnett(LEVEL_MCB, len(means) - 1, df)
    inside = np.ones(len(means), dtype=bool)
    for rival in _trade_offs(means, noise):
        inside &= means >= means[rival] - d * np.sqrt(noise + noise[rival])
    return inside


def _trade_offs(means: Array, noise: Array) -> Integers:
    """Return those whose noise is less than that of everyone with a better mean."""
    order = np.lexsort((noise, -means))
    least = np.minimum.accumulate(noise[order])
    return np.asarray(order[np.concatenate([[True], noise[order][1:] < least[:-1]])], dtype=np.intp)


def _ranked(inside: Mask, model: Model) -> Integers:
    places = np.flatnonzero(inside)
    ranked = np.lexsort((-model.posterior.mean[places], places != model.leader.index))
    return np.asarray(places[ranked], dtype=np.intp)
