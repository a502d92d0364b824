"""Quantiles and intervals of the textbook, without a statistics package."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
"""Half the width, in standard errors, of a 95 % interval of a normal estimate."""

_LARGE = 1000
_HALVINGS = 60


@lru_cache
def t95(df: int) -> float:
    """Return the .975 quantile of Student's t with `df` >= 1 degrees of freedom, to nine digits.

    >>> round(t95(1), 4), round(t95(10), 4), round(t95(5000), 4)
    (12.7062, 2.2281, 1.9604)
    """
    if df > _LARGE:
        return Z95 + (Z95**3 + Z95) / (4 * df) + (5 * Z95**5 + 16 * Z95**3 + 3 * Z95) / (96 * df**2)
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, df) < 0.95 else (low, middle)  # noqa: PLR2004
    return math.sqrt(df) * math.tan(low)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion that was seen in `n` examples.

    >>> [round(end, 2) for end in wilson(22 / 30, 30)]
    [0.56, 0.86]
    """
    shrink = 1 + Z95**2 / n
    middle = (share + Z95**2 / (2 * n)) / shrink
    half = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def slope(values: list[float]) -> tuple[float, float]:
    """Return the least-squares slope per step of three values or more, and its standard error."""
    n = len(values)
    steps = [index - (n - 1) / 2 for index in range(n)]
    spread = math.fsum(step * step for step in steps)
    mean = math.fsum(values) / n
    rise = math.fsum(step * value for step, value in zip(steps, values, strict=True)) / spread
    left = math.fsum((value - mean - rise * step) ** 2 for step, value in zip(steps, values, strict=True))
    return rise, math.sqrt(left / (n - 2) / spread)


def _within(angle: float, df: int) -> float:
    """Return P(|t| < sqrt(df) tan(angle)), by the finite series that exists for whole degrees of freedom."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    term = cosine if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + odd, df - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
