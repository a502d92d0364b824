"""The noise of every configuration's mean, and which configurations collapsed (steps S2 and S3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from hpc_sweep.analysis.distributions import chi2_quantile, normal_tail_quantile

if TYPE_CHECKING:
    from hpc_sweep.analysis.align import Alignment
    from hpc_sweep.analysis.scores import Array, Integers, Mask

TAIL = 2.5  # configurations below median - 2.5 (q90 - median) collapsed,
CLEARLY = 4.0  # if they are 4 standard errors below the median, and
CHANCE = 0.01  # below what the unluckiest of so many falls to by noise in less than a hundredth of sweeps
MOST_PRIOR_DF = 200.0  # stands for "all configurations have the same variance"
FEWEST_FOR_PRIOR = 3  # variances needed before their own spread can be estimated
SMALLEST = 1e-5  # a sample variance below this part of the median is a rounded score, not a precise one


@dataclass(frozen=True)
class Noise:
    """How uncertain the mean of each configuration is, given the replicates that were used.

    ``variance`` ``[N]``: v_c, in squared units of the score, ``nan`` for configurations that took no part; ``pooled``:
    variance s2_G between replicates of one configuration, with ``df`` D_G; ``moderated`` ``[N]``: each configuration's
    own variance, drawn towards the common one, with ``nu`` degrees of freedom in the median.
    """

    variance: Array
    pooled: float
    moderated: Array
    df: float
    nu: float


def surviving(fit: Alignment) -> Mask:
    """Return the configurations outside the collapsed tail, ``[N]`` (S2).

    Kept are means of at least ``median - 2.5 (q90 - median)``. Collapsed ones are noisier and would inflate the pooled
    noise; their depth would inflate the spread between configurations, so that nothing would be shrunk.
    The tail is never cut within 4 standard errors of the median, nor where the unluckiest of so many configurations may
    be by noise alone: rounded scores can make q90 equal the median, and noise has a tail of its own.
    """
    ran = np.isfinite(fit.mean)
    median, high = np.quantile(fit.mean[ran], (0.5, 0.9))
    within = max(CLEARLY, normal_tail_quantile(CHANCE / np.count_nonzero(ran))) * _typical_error(fit, ran)
    with np.errstate(invalid="ignore"):
        return np.asarray(fit.mean >= median - max(TAIL * (high - median), within), dtype=bool)


def _typical_error(fit: Alignment, ran: Mask) -> float:
    """Return the standard error of a mean whose configuration is as noisy as most; 0 where noise is not seen.

    The median, because those that collapsed are noisier; a sample variance of few degrees of freedom has a median below
    its mean, by that of chi2.
    """
    seen = ran & (fit.df > 0)
    if not seen.any():
        return 0.0
    df = float(np.median(fit.df[seen]))
    variance = float(np.median(fit.squares[seen] / fit.df[seen])) * df / float(chi2_quantile(np.array(0.5), df))
    return float(np.sqrt(variance / np.median(fit.runs[ran])))


def moderate(variances: Array, df: Array) -> tuple[float, float]:
    """Return (d0, s0^2): degrees of freedom and scale of the common prior of the variances of many configurations.

    ``variances``, ``df`` ``[k]``: sample variances and their degrees of freedom, all positive. Source: Smyth 2004
    (limma), moments of ln s^2: trigamma(d0/2) = var(e) - mean trigamma(d/2), e = ln s^2 - psi(d/2) + ln(d/2).
    """
    if len(variances) < FEWEST_FOR_PRIOR or not np.any(variances > 0):
        return MOST_PRIOR_DF, float(np.average(variances, weights=df))
    floor = SMALLEST * (float(np.median(variances)) or float(np.mean(variances)))
    logs = np.log(np.maximum(variances, floor)) - digamma(df / 2) + np.log(df / 2)
    excess = float(np.var(logs, ddof=1) - np.mean(polygamma(1, df / 2)))
    prior = min(2 * _inverse_trigamma(excess), MOST_PRIOR_DF) if excess > 0 else MOST_PRIOR_DF
    return prior, float(np.exp(np.mean(logs) + digamma(prior / 2) - np.log(prior / 2)))


def estimate(fit: Alignment, reruns: Array | float = 0.0, evaluation: Array | float = 0.0) -> Noise | None:
    """Return the noise of every mean: v_c = max(moderated, pooled) / n_c + evaluation noise (S3).

    ``reruns``: variance of each mean that reruns show by themselves, a floor; ``evaluation``: variance that the finite
    evaluation set adds, ``[N]`` or 0. None when there are no
    degrees of freedom: one replicate cannot show any noise. The larger of the two variances is taken because a winner
    is chosen partly *for* much noise, which its own sample variance does not know.
    """
    if fit.total_df <= 0:
        return None
    own = fit.df > 0
    sample = np.where(own, fit.squares / np.where(own, fit.df, 1), 0)
    prior, scale = moderate(sample[own], fit.df[own])
    ran = np.isfinite(fit.mean)
    moderated = np.where(ran, (prior * scale + fit.df * sample) / (prior + fit.df), np.nan)
    variance = np.maximum(np.maximum(moderated, fit.pooled) / np.maximum(fit.runs, 1), reruns)
    return Noise(variance + evaluation, fit.pooled, moderated, fit.total_df, float(np.median(prior + fit.df[ran])))


def residual(variance: Array, members: Integers, size: int, df: float) -> Noise:
    """Return the noise of single runs: what levels and pairs of levels leave unexplained.

    ``variance`` ``[G]``: of the runs of the ``members``, among ``size`` configurations; ``df``: G less the rank of the
    two-way model.
    """
    everywhere = np.full(size, np.nan)
    everywhere[members] = variance
    return Noise(everywhere, float(np.mean(variance)), everywhere, df, df)


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value for x, between 1e-6 and 1e6."""
    low, high = 1e-6, 1e6
    if value >= polygamma(1, low):
        return low
    if value <= polygamma(1, high):
        return high
    return float(np.exp(brentq(lambda x: float(polygamma(1, np.exp(x))) - value, np.log(low), np.log(high))))
