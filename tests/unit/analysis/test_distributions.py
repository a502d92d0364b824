"""Our quantiles and tests against those of scipy.stats, which the product does not import."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpc_sweep.analysis import distributions as ours

GENERATOR = np.random.default_rng(3)


@pytest.mark.parametrize("df", [1, 2.5, 8, 40, 1e4])
def test_quantiles_and_tails_are_scipy_s(df):
    """Student, chi-square and F, for whole and broken degrees of freedom."""
    assert ours.student_quantile(0.975, df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-8)
    assert ours.student_tail(2.1, df) == pytest.approx(stats.t.sf(2.1, df), rel=1e-8)
    p = np.array([0.01, 0.5, 0.99])
    assert ours.chi2_quantile(p, df) == pytest.approx(stats.chi2.ppf(p, df), rel=1e-6)
    assert ours.chi2_tail(3.0, df) == pytest.approx(stats.chi2.sf(3.0, df), rel=1e-8)
    assert ours.f_tail(2.0, 3, df) == pytest.approx(stats.f.sf(2.0, 3, df), rel=1e-8)


def test_normal_limits():
    """Infinitely many degrees of freedom are the normal distribution."""
    assert ours.student_quantile(0.975, math.inf) == pytest.approx(1.959963984540054)
    assert ours.normal_tail_quantile(0.25) == pytest.approx(stats.norm.isf(0.25))


@pytest.mark.parametrize(("count", "n"), [(0, 1), (3, 10), (5, 10), (18, 18), (60, 100)])
def test_sign_test_is_the_exact_binomial_one(count, n):
    """Two-sided and one-sided."""
    assert ours.sign_test(count, n) == pytest.approx(stats.binomtest(count, n).pvalue)
    greater = stats.binomtest(count, n, alternative="greater").pvalue
    assert ours.sign_test(count, n, one_sided=True) == pytest.approx(greater)


def test_rank_tests_are_scipy_s():
    """Ranks with ties, Spearman's rho, and Kruskal's and Wallis's test."""
    first, second = GENERATOR.integers(0, 8, 30), GENERATOR.integers(0, 8, 30)
    groups = [GENERATOR.integers(0, 5, size).astype(float) for size in (6, 9, 7)]

    assert ours.ranks(first) == pytest.approx(stats.rankdata(first))
    assert ours.spearman(first, second) == pytest.approx(tuple(stats.spearmanr(first, second)))
    assert ours.kruskal_wallis(groups) == pytest.approx(stats.kruskal(*groups).pvalue)


def test_points_are_sobol_s():
    """The same 64 points as scipy's net, in its order."""
    assert ours.sobol(64) == pytest.approx(stats.qmc.Sobol(3, scramble=False).random(64))


def test_collecting_does_not_import_scipy_stats(run_python):
    """The whole command line stays without it."""
    done = run_python("-c", "import sys, hpc_sweep.cli; print('scipy.stats' in sys.modules)")

    assert done.stdout.strip() == "False", done.stderr
