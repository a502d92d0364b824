"""Dunnett's quantile, the posterior tie set, and Hsu's set."""

import numpy as np
import pytest
from scipy.stats import norm, t

from hpc_sweep.analysis.ties import best_by_comparison, dunnett, within


@pytest.mark.parametrize(("comparisons", "df", "table"), [(4, 20, 2.30), (5, 20, 2.39), (2, 10, 2.15)])
def test_dunnetts_table(comparisons, df, table):
    """One-sided .05 quantiles as printed in Dunnett's table of 1955, to its two digits."""
    assert dunnett(0.95, comparisons, df) == pytest.approx(table, abs=0.012)


def test_one_comparison_is_students_t():
    """Without multiplicity the quantile is that of t, for the levels that are used."""
    assert dunnett(0.95, 1, 20) == pytest.approx(t.ppf(0.95, 20), abs=2e-3)
    assert dunnett(0.80, 1, 8) == pytest.approx(t.ppf(0.80, 8), abs=2e-3)
    assert dunnett(0.80, 0, 8) == 0.0


def test_thousands_of_comparisons():
    """The quadrature stays exact where the integrand is steep: compared with a plain sum over a fine grid."""
    z = np.linspace(-8, 8, 40_001)

    def reached(quantile, comparisons):
        return np.sum(np.exp(comparisons * norm.logcdf(np.sqrt(2) * quantile + z)) * norm.pdf(z)) * (z[1] - z[0])

    for comparisons in (1_000, 30_000):
        assert reached(dunnett(0.80, comparisons, 1e6), comparisons) == pytest.approx(0.80, abs=2e-3)


def test_the_tie_set_by_hand():
    """In is whoever has m_L - m_i <= q sqrt(V_ii + V_LL - 2 V_iL); correlation narrows it."""
    mean, variance = np.array([1.0, 0.8, 0.5]), np.array([0.04, 0.04, 0.04])

    assert within(mean, variance, np.array([0.04, 0.0, 0.0]), 0, 1.0).tolist() == [True, True, False]
    assert within(mean, variance, np.array([0.04, 0.03, 0.0]), 0, 1.0).tolist() == [True, False, False]


def test_hsus_set_is_its_definition():
    """The short way round gives the set of all pairwise comparisons, noise of any shape."""
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 60):
        for spread in (0.1, 1.0, 5.0):
            means, noise = rng.normal(0, spread, size), rng.lognormal(0, 1, size)
            d = dunnett(0.95, size - 1, 30.0)
            error = np.sqrt(noise[:, None] + noise[None, :])
            expected = (means[:, None] - means[None, :] >= -d * error).all(axis=1)

            assert best_by_comparison(means, noise, 30.0).tolist() == expected.tolist()


def test_exact_ties_without_noise_are_both_in_hsus_set():
    """Equal means without noise do not exclude each other."""
    assert best_by_comparison(np.array([0.8, 0.8, 0.7]), np.zeros(3), 10.0).tolist() == [True, True, False]
