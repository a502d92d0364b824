"""Moderated variances and the collapsed tail."""

import numpy as np
import pytest

from hpc_sweep.analysis.align import align
from hpc_sweep.analysis.noise import MOST_PRIOR_DF, estimate, moderate, residual, surviving
from hpc_sweep.analysis.scores import Scores, tabulate


def fit_of(matrix):
    """Return the alignment of a table without gaps."""
    values = [(c, r, float(score)) for (c, r), score in np.ndenumerate(matrix)]
    cells = tabulate(Scores([{"a": index} for index in range(len(matrix))], values))
    return align(cells, cells.usable)


def test_the_prior_of_variances_is_recovered():
    """Variances drawn from a scaled inverse chi-squared give back its degrees of freedom and its scale."""
    rng = np.random.default_rng(1)
    count, d, d0, scale = 20_000, 4.0, 8.0, 2.0
    variances = scale * d0 / rng.chisquare(d0, count) * rng.chisquare(d, count) / d

    prior, found = moderate(variances, np.full(count, d))

    assert prior == pytest.approx(d0, rel=0.08)
    assert found == pytest.approx(scale, rel=0.03)


def test_equal_variances_are_pooled():
    """Sample variances that spread no more than chance have a prior of 200 degrees of freedom."""
    variances = np.full(50, 3.0)

    prior, scale = moderate(variances, np.full(50, 2.0))

    assert prior == MOST_PRIOR_DF
    assert scale > 3.0  # a constant s^2 with 2 df is rarer than its mean: ln s^2 is corrected upwards


def test_the_larger_of_moderated_and_pooled_counts():
    """v_c is max(s~2, s2_G) / n_c plus what the evaluation set adds."""
    matrix = np.random.default_rng(2).normal(size=(20, 3)) * np.linspace(0.2, 2, 20)[:, None]
    fit = fit_of(matrix)
    prior, scale = moderate(fit.squares / fit.df, fit.df)
    moderated = (prior * scale + fit.squares) / (prior + fit.df)

    noise = estimate(fit, evaluation=0.5)

    assert noise.moderated == pytest.approx(moderated)
    assert noise.variance == pytest.approx(np.maximum(moderated, fit.squares.sum() / fit.total_df) / 3 + 0.5)
    assert noise.df == 38
    assert noise.nu == pytest.approx(prior + 38 / 20)


def test_reruns_are_a_floor():
    """The variance of a mean is never below what reruns show by themselves."""
    fit = fit_of(np.random.default_rng(3).normal(size=(10, 3)))
    floor = np.where(np.arange(10) < 5, 100.0, 0.0)

    noise = estimate(fit, floor)

    assert noise.variance[:5].tolist() == [100.0] * 5
    assert (noise.variance[5:] < 100).all()


def test_one_replicate_has_no_noise_to_estimate():
    """Without degrees of freedom there is no estimate, and the residual takes its place."""
    assert estimate(fit_of(np.array([[0.1], [0.2], [0.4]]))) is None
    stand_in = residual(np.array([1.0, 3.0]), np.array([0, 2]), 3, 4.0)
    assert stand_in.pooled == 2.0
    assert np.isnan(stand_in.variance[1])


def test_rounded_scores_with_no_variance_do_not_break_the_logarithm():
    """Some configurations with identical replicates: the others still give a finite, positive noise."""
    matrix = np.round(np.random.default_rng(4).normal(0.8, 0.01, size=(12, 3)), 2)
    matrix[:4] = 0.8

    assert (estimate(fit_of(matrix)).variance > 0).all()


def test_the_collapsed_tail_is_cut():
    """Configurations far below the median go; an ordinary spread stays."""
    means = np.concatenate([np.linspace(0.78, 0.84, 20), [0.5, 0.1]])

    keep = surviving(fit_of(means[:, None] + np.random.default_rng(5).normal(0, 1e-3, (22, 3))))

    assert keep.tolist() == [True] * 20 + [False] * 2


def test_equal_scores_are_not_cut():
    """Where most scores are equal the tail is measured in standard errors: noise alone is no collapse."""
    matrix = np.full((20, 3), 0.8) + np.random.default_rng(6).normal(0, 0.01, (20, 3)) * (np.arange(20) < 3)[:, None]

    assert surviving(fit_of(np.full((20, 3), 0.8))).all()
    assert surviving(fit_of(matrix)).sum() >= 17
