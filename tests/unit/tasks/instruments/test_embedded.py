"""The data set in the package."""

import hashlib
from importlib.resources import files

import numpy as np

from hpc_sweep.tasks.instruments.embedded import embedded, write_embedded
from hpc_sweep.tasks.instruments.irmas import CLASSES
from hpc_sweep.tasks.instruments.repertoire import class_counts
from hpc_sweep.tasks.instruments.split import split

HOME = files("hpc_sweep.tasks.instruments") / "embedded"


def test_it_has_the_shape_of_irmas():
    """There are 450 read-only pictures in IRMAS's class ratios, in songs of up to three clips."""
    source = embedded()

    assert ((450, 32, 32), np.uint8, CLASSES) == (source.pictures.shape, source.pictures.dtype, source.classes)
    assert list(class_counts(450).values()) == np.bincount(source.labels).tolist()
    assert {1, 2, 3} >= set(np.bincount(source.groups).tolist())
    assert not source.pictures.flags.writeable


def test_it_is_small_and_carries_the_notice_of_its_soundfont():
    """The file is below 0.55 MB and Fluid's MIT licence lies beside it."""
    assert len((HOME / "embedded.npz").read_bytes()) < 550_000
    notice = (HOME / "FluidR3_GM.LICENCE.txt").read_text(encoding="utf-8")
    assert "Frank Wen" in notice
    assert "The above copyright notice and this permission notice shall be" in notice


def test_it_is_written_and_fingerprinted_by_content(tmp_path):
    """Writing what was read gives the same bytes, and the fingerprint is that of equal content."""
    source = embedded()
    write_embedded(tmp_path / "again.npz", source)

    assert _sha256((HOME / "embedded.npz").read_bytes()) == _sha256((tmp_path / "again.npz").read_bytes())
    assert [tmp_path / "again.npz"] == list(tmp_path.iterdir())
    assert embedded().fingerprint == source.fingerprint
    assert len(source.fingerprint) == 64


def test_a_split_by_clip_leaks_songs():
    """The nearest neighbour finds its own song when clips are split, and does clearly worse when songs are."""
    by_song, by_clip = (_mean_nearest_neighbour_accuracy(by) for by in ("song", "clip"))

    assert by_clip > by_song + 0.08
    assert by_song > 0.2


def _mean_nearest_neighbour_accuracy(by):
    source = embedded()
    pixels = source.pictures.reshape(len(source.labels), -1).astype(np.float64)
    squares = (pixels**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * pixels @ pixels.T
    accuracies = []
    for seed in range(5):
        training, validation = split(source.labels, source.groups, 0.2, seed, by=by)
        nearest = training[distances[np.ix_(validation, training)].argmin(axis=1)]
        accuracies.append((source.labels[nearest] == source.labels[validation]).mean())
    return np.mean(accuracies)


def _sha256(data):
    return hashlib.sha256(data).hexdigest()
