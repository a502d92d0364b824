"""Quantiles, tails, ranks and points, by `scipy.special` alone: importing `scipy.stats` costs a collection .3 s.

Quantiles and tails take degrees of freedom as numbers or arrays, and are those of scipy.stats to its own accuracy.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, chdtrc, chdtri, fdtrc, ndtri, stdtr, stdtrit

if TYPE_CHECKING:
    import numpy.typing as npt

    from hpc_sweep.analysis.scores import Array

_DIRECTIONS = ((1, 1, 1, 1, 1, 1), (1, 3, 5, 15, 17, 51), (1, 3, 3, 9, 29, 23))
"""Joe and Kuo's direction numbers of the first three dimensions, for up to 64 points."""


def student_quantile(p: float, df: float) -> float:
    """Return x with P(T <= x) = p; the normal one for infinitely many degrees of freedom."""
    return float(stdtrit(df, p)) if math.isfinite(df) else float(ndtri(p))


def student_tail(x: float, df: float) -> float:
    """Return P(T > x)."""
    return float(stdtr(df, -x))


def normal_tail_quantile(p: float) -> float:
    """Return x with P(Z > x) = p."""
    return float(-ndtri(p))


def chi2_quantile(p: Array, df: float) -> Array:
    """Return x with P(X <= x) = p, for each p."""
    return np.asarray(chdtri(df, 1 - p), dtype=float)


def chi2_tail(x: float, df: float) -> float:
    """Return P(X > x)."""
    return float(chdtrc(df, x))


def f_tail(x: float, first: float, second: float) -> float:
    """Return P(F > x)."""
    return float(fdtrc(first, second, x))


def sign_test(count: int, n: int, *, one_sided: bool = False) -> float:
    """Return the p of `count` of `n` signs being positive when both are equally likely (exact)."""
    if one_sided:
        return float(bdtr(n - count, n, 0.5))
    return min(1.0, 2 * float(bdtr(min(count, n - count), n, 0.5)))


def ranks(values: npt.ArrayLike) -> Array:
    """Return the ranks from 1; equal values share their mean rank."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place], dtype=float)


def spearman(first: Array, second: Array) -> tuple[float, float]:
    """Return Spearman's rho and its two-sided p by Student's t."""
    rho = float(np.corrcoef(ranks(first), ranks(second))[0, 1])
    df = len(first) - 2
    if abs(rho) >= 1 or df < 1:
        return rho, 0.0 if df >= 1 else 1.0
    return rho, 2 * student_tail(abs(rho) * math.sqrt(df / (1 - rho**2)), df)


def kruskal_wallis(groups: list[Array]) -> float:
    """Return the p of Kruskal's and Wallis's test, corrected for ties."""
    pooled = np.concatenate(groups)
    n, rank = len(pooled), ranks(pooled)
    edges = np.cumsum([0, *map(len, groups)])
    sums = [float(rank[low:high].sum()) ** 2 / (high - low) for low, high in pairwise(edges)]
    _, counts = np.unique(pooled, return_counts=True)
    ties = 1 - float((counts**3 - counts).sum()) / (n**3 - n)
    return chi2_tail((12 / (n * (n + 1)) * sum(sums) - 3 * (n + 1)) / ties, len(groups) - 1)


def sobol(count: int) -> Array:
    """Return the first points of Sobol's net in three dimensions, not scrambled, ``[count, 3]``, count <= 64."""
    points = np.zeros((count, 3))
    for at in range(count):
        gray = at ^ (at >> 1)
        for axis, numbers in enumerate(_DIRECTIONS):
            bits = 0
            for place, number in enumerate(numbers):
                if gray >> place & 1:
                    bits ^= number << (len(numbers) - 1 - place)
            points[at, axis] = bits / 2 ** len(numbers)
    return points
