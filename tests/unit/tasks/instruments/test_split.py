"""Splits into training and validation."""

import numpy as np
import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.irmas import TRAINING_COUNTS
from hpc_sweep.tasks.instruments.split import split

LABELS = np.repeat(np.arange(11), list(TRAINING_COUNTS.values()))
GROUPS = np.arange(len(LABELS)) // 3


@pytest.mark.parametrize("seed", range(5))
def test_songs_never_straddle(seed):
    """No group has clips on both sides, and every clip is on one side."""
    training, validation = split(LABELS, GROUPS, 0.2, seed)

    assert not set(GROUPS[training]) & set(GROUPS[validation])
    assert np.array_equal(np.arange(len(LABELS)), np.sort(np.concatenate([training, validation])))


@pytest.mark.parametrize("by", ["song", "clip"])
def test_classes_keep_their_share(by):
    """Every class has its fifth in validation, to within one song of three clips."""
    _, validation = split(LABELS, GROUPS, 0.2, 0, by=by)

    counts = np.bincount(LABELS[validation], minlength=11)

    assert np.abs(counts - 0.2 * np.bincount(LABELS)).max() <= 3


def test_by_clip_gives_the_counts_of_the_source():
    """IRMAS cut by clip at 80/20 has the 1,346 validation clips that the published accuracies fit."""
    training, validation = split(LABELS, GROUPS, 0.2, 3, by="clip")

    assert (len(training), len(validation)) == (5359, 1346)
    assert len(set(GROUPS[training]) & set(GROUPS[validation])) > 400


@pytest.mark.parametrize("by", ["song", "clip"])
def test_the_seed_decides(by):
    """Equal seeds split equally, other seeds differently."""
    first, again, other = (split(LABELS, GROUPS, 0.2, seed, by=by) for seed in (1, 1, 2))

    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


def test_groups_may_mix_classes_and_need_no_order():
    """A group with two labels, as duplicates in IRMAS have, stays whole wherever its clips stand."""
    generator = np.random.default_rng(0)
    groups = generator.permutation(np.arange(90) // 4)
    labels = generator.integers(0, 3, 90)

    training, validation = split(labels, groups, 0.25, 0)

    assert not set(groups[training]) & set(groups[validation])
    assert 15 <= len(validation) <= 33


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ((LABELS, GROUPS, 0.2, 0, "genre"), "data.split"),
        ((LABELS, GROUPS, 0.0, 0, "song"), "data.validation"),
        ((LABELS, GROUPS, 1.0, 0, "song"), "data.validation"),
        ((LABELS[:3], GROUPS[:3], 0.5, 0, "song"), "data.split"),
        ((LABELS[:0], GROUPS[:0], 0.5, 0, "clip"), "data.split"),
    ],
)
def test_impossible_splits_are_refused(arguments, where):
    """The message names the key that is wrong."""
    with pytest.raises(UserError) as caught:
        split(*arguments)

    assert where == caught.value.where
    assert caught.value.next_step
