"""Quantiles, Wilson's interval and slopes against published figures."""

from __future__ import annotations

import pytest

from hpc_sweep.analysis.intervals import slope, t95, wilson


@pytest.mark.parametrize(
    ("df", "quantile"),
    [(1, 12.7062047), (2, 4.3026527), (3, 3.1824463), (10, 2.2281389), (30, 2.0422725), (120, 1.9799304)],
)
def test_t_quantile_is_the_one_in_the_tables(df, quantile):
    """The .975 quantile of Student's t equals the published one."""
    assert t95(df) == pytest.approx(quantile, abs=5e-8)


def test_t_quantile_is_smooth_where_the_series_ends():
    """The finite series and the expansion for many degrees of freedom meet."""
    assert t95(1000) > t95(1001) > t95(10**6) > 1.959963984
    assert t95(1000) - t95(1001) < 1e-5


@pytest.mark.parametrize(
    ("seen", "n", "low", "high"), [(22, 30, 0.556, 0.858), (29, 30, 0.833, 0.994), (0, 30, 0, 0.114)]
)
def test_wilson_interval_is_the_published_one(seen, n, low, high):
    """Wilson's interval of 22 and 29 in 30 is as in the literature, and that of none starts at zero."""
    assert wilson(seen / n, n) == pytest.approx((low, high), abs=6e-4)


def test_slope_of_a_line_is_exact_and_of_noise_is_not():
    """A straight line has no standard error; a zigzag has one that is larger than its slope."""
    assert slope([1, 2, 3, 4]) == pytest.approx((1, 0))
    rise, error = slope([0, 1, 0, 1])
    assert (rise, error) == pytest.approx((0.2, 0.28284271))
