"""The leader's score, its intervals, and the cavity check."""

import math

import numpy as np
import pytest
from scipy.stats import t as student

from hpc_sweep.analysis.align import align
from hpc_sweep.analysis.leader import best_place, cavity, lead, satterthwaite, shift_variance
from hpc_sweep.analysis.posterior import Posterior
from hpc_sweep.analysis.scores import Scores, tabulate


def fit_of(matrix):
    """Return the alignment of a table without gaps."""
    values = [(c, r, float(score)) for (c, r), score in np.ndenumerate(matrix)]
    cells = tabulate(Scores([{"a": index} for index in range(len(matrix))], values))
    return align(cells, cells.usable)


def posterior(mean, variance, noise):
    """Return a posterior of three configurations with given leader."""
    count = len(mean)
    return Posterior(np.array(mean), np.full(count, variance), np.full(count, noise), (), np.zeros(0))


def test_the_cavity_is_leave_one_out():
    """The short form of z equals its definition through the cavity distribution."""
    observed, shrunk, variance, noise = 5.0, 3.5, 0.4, 1.0
    rest = 1 / (1 / variance - 1 / noise)
    predicted = rest * (shrunk / variance - observed / noise)

    z = cavity(observed, shrunk, variance, noise)

    assert z == pytest.approx((observed - predicted) / math.sqrt(noise + rest))


def test_the_cavity_of_a_configuration_without_neighbours_is_silent():
    """Where the others say nothing, nothing can stand out."""
    assert cavity(1.0, 1.0, 1.0, 1.0) == 0.0


def test_the_interval_is_students():
    """m_L +- t sqrt(V_LL), for the leader by shrunk score, not by observed one."""
    found = lead(posterior([0.5, 0.8, 0.7], 0.01, 0.02), np.array([0.5, 0.82, 0.9]), fit_of(np.ones((3, 1))), nu=9.0)

    half = student.ppf(0.975, 9) * 0.1
    assert found.index == 1
    assert (found.observed, found.shrunk) == (0.82, 0.8)
    assert found.interval == pytest.approx((0.8 - half, 0.8 + half))
    assert found.absolute == found.interval
    assert not found.stands_out


def test_a_leader_that_stands_out_reaches_up_to_what_was_observed():
    """With z > 3 the upper end is at least c + t sqrt(v), the point estimate stays."""
    found = lead(posterior([0.5, 0.8, 0.7], 0.01, 0.02), np.array([0.5, 1.2, 0.7]), fit_of(np.ones((3, 1))), nu=9.0)

    assert found.stands_out
    assert found.z == pytest.approx(0.4 / 0.1)
    assert found.shrunk == 0.8
    assert found.interval[1] == pytest.approx(1.2 + student.ppf(0.975, 9) * math.sqrt(0.02))


def test_shared_shifts_widen_the_absolute_interval_only():
    """Replicates that move all configurations alike are in the absolute interval, with their few degrees of freedom."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(0, 0.01, (30, 3)) + np.array([-1.0, 0.0, 1.0])
    fit = fit_of(matrix)

    variance, df = shift_variance(fit)
    found = lead(posterior([0.5, 0.8, 0.7], 0.0001, 0.02), np.array([0.5, 0.8, 0.7]), fit, nu=50.0)

    assert df == 2
    assert variance == pytest.approx(1.0 / 3, rel=0.02)
    assert found.absolute[1] - found.absolute[0] > 20 * (found.interval[1] - found.interval[0])


def test_degrees_of_freedom_of_a_sum():
    """Equal variances with equal degrees of freedom add them up; one part keeps its own."""
    assert satterthwaite((2.0, 5.0), (2.0, 5.0)) == pytest.approx(10.0)
    assert satterthwaite((2.0, 5.0), (0.0, math.inf)) == pytest.approx(5.0)


def test_equal_shrunk_scores_are_told_apart_by_observed_ones():
    """Shrunk scores that differ by rounding only are equal; then the best observed one leads, then the first."""
    assert best_place(np.array([0.1, 0.3, 0.3 + 1e-14, 0.2]), np.array([0.5, 0.4, 0.3, 0.2])) == 1
    assert best_place(np.full(3, 0.5), np.array([0.1, 0.7, 0.7])) == 1
