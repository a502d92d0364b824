"""Cells from runs: copies, reruns, twins, and runs without a score."""

import math

import numpy as np
import pytest

from hpc_sweep.analysis.scores import Scores, tabulate, twins
from hpc_sweep.errors import SweepError

TWO = [{"lr": 0.1}, {"lr": 0.2}]


def test_equal_runs_of_one_cell_are_copies():
    """The same configuration, replicate, score and outputs are kept once and reported."""
    cells = tabulate(Scores(TWO, [(0, 1, 0.5), (1, 1, 0.6), (0, 1, 0.5)], outputs=["a", "b", "a"]))

    assert cells.copies == ((0, 2),)
    assert cells.score.tolist() == [0.5, 0.6]
    assert cells.rerun_df == 0


def test_equal_scores_with_other_outputs_are_a_rerun():
    """A score may agree by rounding: other outputs show that the run was repeated."""
    cells = tabulate(Scores(TWO, [(0, 1, 0.5), (0, 1, 0.5)], outputs=["a", "b"]))

    assert cells.copies == ()
    assert cells.rerun_df == 1


def test_reruns_are_averaged_and_their_noise_is_reported_apart():
    """Two cells with two runs each: sd is the root of the pooled variance within cells."""
    values = [(0, 1, 0.5), (0, 1, 0.7), (0, 2, 0.3), (1, 1, 0.1), (1, 1, 0.3), (1, 1, 0.2)]

    cells = tabulate(Scores(TWO, values))

    assert cells.score == pytest.approx([0.6, 0.3, 0.2])
    assert cells.rerun_df == 3
    assert cells.rerun_sd == pytest.approx(math.sqrt((0.02 + 0.02) / 3))


def test_a_mean_is_at_least_as_noisy_as_its_reruns():
    """Nine reruns show a noise: a cell of one run carries it whole, a cell of two carries half."""
    values = [
        (0, 0, 0.4),
        (0, 0, 0.6),
        (1, 0, 0.5),
        *((1, label, score) for label in range(1, 9) for score in (0.4, 0.6)),
    ]

    cells = tabulate(Scores(TWO, values))

    assert cells.rerun_sd**2 == pytest.approx(0.02)
    assert cells.rerun_noise() == pytest.approx([0.02 / 2, 0.02 * (1 + 8 / 2) / 81])


def test_without_labels_every_run_is_its_own_replicate():
    """Runs without a replicate label are neither copies nor reruns of each other."""
    cells = tabulate(Scores(TWO, [(0, None, 0.5), (0, None, 0.5), (1, None, 0.5)]))

    assert len(cells.score) == 3
    assert cells.copies == ()


def test_diverged_and_missing_runs():
    """One diverged run takes its configuration out of the ranking; a run without an outcome is only missing."""
    three = [*TWO, {"lr": 0.3}]

    cells = tabulate(Scores(three, [(0, 1, 0.5), (1, 1, -math.inf), (1, 2, 0.9), (2, 1, math.nan)]))

    assert cells.diverged == (1,)
    assert cells.never_ran == (2,)
    assert cells.usable.tolist() == [True, False, False]
    assert np.unique(cells.configuration).tolist() == [0]


def test_nothing_to_rank_is_refused():
    """Without any finite score there is no table."""
    with pytest.raises(SweepError, match="No configuration can be ranked"):
        tabulate(Scores(TWO, [(0, 1, -math.inf), (1, 1, math.nan)]))


def test_twins_have_equal_outcomes_in_every_replicate():
    """Equal outcomes in two replicates make twins; in one of two they do not."""
    three = [*TWO, {"lr": 0.3}]
    values = [(0, 1, 0.5), (0, 2, 0.6), (1, 1, 0.5), (1, 2, 0.6), (2, 1, 0.5), (2, 2, 0.7)]
    scores = Scores(three, values)

    assert twins(scores, tabulate(scores)) == ((0, 1),)


def test_columns_that_do_not_belong_together_are_refused():
    """As many outputs as runs, and no configuration that is not there."""
    with pytest.raises(ValueError, match="outputs has 1 entries, not 2"):
        Scores(TWO, [(0, 1, 0.5), (1, 1, 0.5)], outputs=["a"])
    with pytest.raises(ValueError, match="names a configuration"):
        Scores(TWO, [(2, 1, 0.5)])
