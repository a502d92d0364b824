"""Which songs are rendered."""

from collections import Counter

import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.irmas import CLASSES, TESTING_FOLDERS, TRAINING_COUNTS
from hpc_sweep.tasks.instruments.repertoire import (
    DRUMS,
    GENRE_MIX,
    class_counts,
    songs_for_testing,
    songs_for_training,
    takes_of,
)


def test_class_counts_are_in_irmas_ratios():
    """All clips are shared out, at least one each, and none is off by more than one."""
    for clips in (11, 12, 100, 450, 6705):
        counts = class_counts(clips)

        assert clips == sum(counts.values())
        assert min(counts.values()) >= 1
        assert clips < 100 or all(abs(counts[c] - clips * TRAINING_COUNTS[c] / 6705) < 1 for c in CLASSES)


def test_songs_have_up_to_three_takes():
    """Only the last song of a class may have fewer than three."""
    assert takes_of(7) == [3, 3, 1]
    assert takes_of(6) == [3, 3]
    assert takes_of(0) == []


def test_450_clips_look_like_irmas():
    """Ids are unique; tags, the unknown tag and prefixes all occur; no class is in a genre that it never has."""
    songs = songs_for_training(450, 0)
    files = [file for song in songs for file in song.files]

    assert len(set(files)) == 450
    assert len(songs) == len({song.number for song in songs})
    assert all(GENRE_MIX[song.leads[0]][list(DRUMS).index(song.genre)] > 0 for song in songs)
    assert not any(song.drums for song in songs if song.genre == "cla")
    for mark, least in {"[dru]": 20, "[nod]": 20, "[---]": 2, "__[": 60}.items():
        assert sum(mark in file for file in files) >= least, mark


def test_genre_mixes_are_probabilities():
    """Each row sums to one, and the voice is never classical."""
    assert list(CLASSES) == list(GENRE_MIX)
    assert all(abs(sum(mix) - 1) < 1e-9 for mix in GENRE_MIX.values())
    assert GENRE_MIX["voi"][1] == 0


def test_the_seed_decides():
    """Equal arguments give equal songs, another seed others."""
    assert songs_for_training(60, 4) == songs_for_training(60, 4)
    assert songs_for_training(60, 4) != songs_for_training(60, 5)


@pytest.mark.parametrize("clips", [0, 10, 10_000])
def test_too_few_or_too_many_clips_are_refused(clips):
    """Eleven classes need eleven clips, and four digits name 9,999 songs."""
    with pytest.raises(UserError, match=f"{clips} training clips"):
        songs_for_training(clips, 0)


def test_songs_for_testing_have_several_labels():
    """Excerpts are dealt to the three parts; labels are distinct, one or two for most."""
    songs = songs_for_testing(300, 0)

    sizes = Counter(len(song.leads) for song in songs)

    assert sum(len(song.files) for song in songs) == 300
    assert all(len(set(song.leads)) == len(song.leads) and set(song.leads) <= set(CLASSES) for song in songs)
    assert sizes[1] + sizes[2] > 0.7 * len(songs)
    assert sizes[3] > 0
    assert set(TESTING_FOLDERS) == {file.rsplit("/", 1)[0] for song in songs for file in song.files}
