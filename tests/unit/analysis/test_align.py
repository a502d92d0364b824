"""The two-way fit of configurations and replicates."""

import numpy as np
import pytest

from hpc_sweep.analysis.align import align
from hpc_sweep.analysis.scores import Scores, tabulate


def table(values, count):
    """Return the cells of runs given as (configuration, replicate, score)."""
    return tabulate(Scores([{"a": index} for index in range(count)], values))


def complete(matrix):
    """Return the cells of a table without gaps."""
    values = [(c, r, float(score)) for (c, r), score in np.ndenumerate(matrix)]
    return table(values, len(matrix))


def test_a_complete_table_is_fitted_by_its_means():
    """Configurations get their row means, replicates their column means less the grand mean."""
    matrix = np.random.default_rng(1).normal(size=(6, 3))

    fit = align(complete(matrix), np.ones(6, dtype=bool))

    residual = matrix - matrix.mean(1, keepdims=True) - matrix.mean(0) + matrix.mean()
    assert fit.mean == pytest.approx(matrix.mean(1))
    assert fit.shifts == pytest.approx(matrix.mean(0) - matrix.mean())
    assert fit.squares == pytest.approx((residual**2).sum(1))
    assert fit.total_df == 5 * 2
    assert fit.df == pytest.approx(np.full(6, 10 / 6))


def test_a_ragged_table_is_fitted_by_least_squares():
    """Means and shifts equal those of a regression on indicators, shifts summing to zero."""
    rng = np.random.default_rng(2)
    cells = [(c, r) for c in range(8) for r in range(4) if rng.random() < 0.6 or r == c % 4]
    scores = rng.normal(size=len(cells))
    design = np.zeros((len(cells) + 1, 12))
    for row, (c, r) in enumerate(cells):
        design[row, c] = design[row, 8 + r] = 1
    design[-1, 8:] = 1
    expected = np.linalg.lstsq(design, np.append(scores, 0), rcond=None)[0]

    fit = align(table([(c, r, s) for (c, r), s in zip(cells, scores, strict=True)], 8), np.ones(8, dtype=bool))

    assert fit.paired
    assert fit.mean == pytest.approx(expected[:8])
    labels = list(dict.fromkeys(r for _, r in cells))
    assert fit.shifts == pytest.approx(expected[8:][labels])
    assert fit.total_df == len(cells) - 8 - 3


def test_replicates_that_are_not_shared_are_not_fitted():
    """Every configuration with seeds of its own: the fit is unpaired and keeps plain means."""
    values = [(0, 1, 0.1), (0, 2, 0.3), (1, 3, 0.5), (1, 4, 0.9)]

    fit = align(table(values, 2), np.ones(2, dtype=bool))

    assert not fit.paired
    assert fit.mean == pytest.approx([0.2, 0.7])
    assert fit.total_df == 2
    assert fit.replicates == 2


def test_configurations_that_are_left_out_have_no_influence():
    """Leaving a configuration out equals never having run it."""
    matrix = np.random.default_rng(3).normal(size=(5, 3))
    keep = np.array([True, True, False, True, True])

    fit = align(complete(matrix), keep)

    assert np.isnan(fit.mean[2])
    assert fit.shifts == pytest.approx(align(complete(matrix[keep]), np.ones(4, dtype=bool)).shifts)


def test_shifting_and_scaling():
    """Adding 5 moves every mean by 5; doubling doubles means and shifts."""
    matrix = np.random.default_rng(4).normal(size=(5, 3))
    every = np.ones(5, dtype=bool)

    base, moved, doubled = (align(complete(changed), every) for changed in (matrix, matrix + 5, 2 * matrix))

    assert moved.mean - base.mean == pytest.approx(np.full(5, 5))
    assert moved.shifts == pytest.approx(base.shifts)
    assert doubled.mean == pytest.approx(2 * base.mean)
    assert doubled.pooled == pytest.approx(4 * base.pooled)


def test_one_replicate_leaves_no_degrees_of_freedom():
    """A single seed shows no noise."""
    fit = align(table([(0, 1, 0.1), (1, 1, 0.3)], 2), np.ones(2, dtype=bool))

    assert fit.total_df == 0
    assert np.isnan(fit.pooled)
