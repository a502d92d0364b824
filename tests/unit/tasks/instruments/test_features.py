"""The cache of pictures: computed once, whole or absent, and the same wherever the files lie."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.features import cache_key, default_cache, features
from hpc_sweep.tasks.instruments.irmas import CLASSES, read_training
from hpc_sweep.tasks.instruments.logmel import LogMel, picture
from hpc_sweep.tasks.instruments.wav import fit_length, read_mono

SMALL = LogMel(n_mels=32, size=32)
# Builds features in a process of its own, when told to by a line on stdin, and prints the fingerprint.
BUILDER = """
import sys
from pathlib import Path
from hpc_sweep.tasks.instruments.features import features
from hpc_sweep.tasks.instruments.irmas import read_training
from hpc_sweep.tasks.instruments.logmel import LogMel
folder, cache = Path(sys.argv[1]), Path(sys.argv[2])
clips = read_training(folder)
print("ready", flush=True)
sys.stdin.readline()
print(features(folder, clips, LogMel(n_mels=32, size=32), cache, workers=1).fingerprint)
"""


@pytest.fixture
def folder(irmas):
    """Return the folder of the class folders."""
    return irmas / "IRMAS-TrainingData"


@pytest.fixture
def cache(tmp_path):
    """Return the place of the cache, which is not there yet."""
    return tmp_path / "cache"


@pytest.fixture
def start_builder(folder, cache):
    """Start a process that is ready to build, and end it with the test."""
    builders = []

    def start():
        command = [sys.executable, "-c", BUILDER, str(folder), str(cache)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4]), "OMP_NUM_THREADS": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        builders.append(subprocess.Popen(command, env=environment, text=True, **pipes))
        assert builders[-1].stdout.readline() == "ready\n"
        return builders[-1]

    yield start
    for builder in builders:
        builder.kill()
        builder.communicate()


def _read(folder, cache, parameters=SMALL, workers=None):
    return features(folder, read_training(folder), parameters, cache, workers)


def test_pictures_are_those_of_the_files(folder, cache):
    """Each row is the picture of its clip, one sample short or not, with its label and group."""
    result = _read(folder, cache)

    for clip, pixels, label in zip(read_training(folder), result.pictures, result.labels, strict=True):
        samples = fit_length(read_mono(folder / clip.path, 44100), SMALL.samples)
        assert np.array_equal(picture(samples, SMALL), pixels)
        assert clip.label == CLASSES[label]
    assert ((6, 32, 32), np.uint8, CLASSES) == (result.pictures.shape, result.pictures.dtype, result.classes)


def test_equal_content_is_one_group(folder, cache):
    """Songs 0754 and 0755 share a recording, so their clips may not be parted."""
    groups = dict(zip((clip.song for clip in read_training(folder)), _read(folder, cache).groups.tolist(), strict=True))

    assert groups["0754"] == groups["0755"]
    assert len(set(groups.values())) == 3


def test_pictures_are_mapped_and_cannot_be_written(folder, cache):
    """Every process of a node shares one read-only copy."""
    pictures = _read(folder, cache).pictures

    assert isinstance(pictures, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        pictures[0] = 0


def test_a_second_call_reads_no_sound(folder, cache, capsys):
    """With every file spoiled behind its size and time, the cache answers the same and no bar is shown."""
    first = _read(folder, cache)
    capsys.readouterr()
    for path in folder.rglob("*.wav"):
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    second = _read(folder, cache)

    assert first.fingerprint == second.fingerprint
    assert np.array_equal(first.pictures, second.pictures)
    assert not capsys.readouterr().err


def test_the_number_of_workers_changes_nothing(folder, cache, tmp_path):
    """One thread and four compute equal bytes."""
    one, four = _read(folder, cache, workers=1), _read(folder, tmp_path / "other", workers=4)

    assert np.array_equal(one.pictures, four.pictures)
    assert one.fingerprint == four.fingerprint


def test_what_is_computed_decides_the_place(folder, write_wav):
    """Another time, another file or another parameter is another entry of the cache."""
    clips = read_training(folder)
    keys = {cache_key(folder, clips, SMALL), cache_key(folder, clips, replace(SMALL, hop=512))}
    os.utime(folder / clips[0].path, ns=(0, 0))
    keys.add(cache_key(folder, clips, SMALL))
    write_wav(folder / "gel" / "[gel][pop_roc]0900__1.wav")
    keys.add(cache_key(folder, read_training(folder), SMALL))

    assert len(keys) == 4


def test_the_fingerprint_is_of_the_content(folder, cache, tmp_path, write_wav):
    """A copy elsewhere has the same fingerprint; other content, labels, songs or parameters have another."""
    original = _read(folder, cache).fingerprint
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)

    assert original == _read(copy, tmp_path / "other cache").fingerprint

    seen = {original, _read(copy, cache, replace(SMALL, hop=512)).fingerprint}
    (copy / "gel" / "071__[gel][dru][cou_fol]0754__1.wav").rename(copy / "gel" / "071__[gel][cou_fol]0757__1.wav")
    assert _read(copy, cache).fingerprint == original, "it has the content of a clip of 0755, whatever its own id"
    (copy / "cel" / "[cel][cla]0001__2.wav").rename(copy / "cel" / "[cel][cla]0003__2.wav")
    seen.add(_read(copy, cache).fingerprint)
    write_wav(copy / "cel" / "[cel][cla]0003__2.wav", seed=99)
    seen.add(_read(copy, cache).fingerprint)
    assert len(seen) == 4


def test_a_broken_file_is_named_and_nothing_is_kept(folder, cache):
    """One cut file refuses the whole and leaves the cache empty."""
    broken = folder / "gel" / "[gel][pop_roc]0755__2.wav"
    broken.write_bytes(broken.read_bytes()[:5000])

    with pytest.raises(UserError, match="cut short") as caught:
        _read(folder, cache)

    assert str(broken) == caught.value.where
    assert list(cache.iterdir()) == []


def test_a_killed_builder_leaves_nothing_that_a_reader_takes(folder, cache, start_builder):
    """Killed half way, a builder leaves a hidden folder only, and the next call builds the whole."""
    pipe = folder / "gel" / "[gel][pop_roc]0755__2.wav"
    sound = pipe.read_bytes()
    pipe.unlink()
    os.mkfifo(pipe)
    builder = start_builder()
    builder.stdin.write("\n")
    builder.stdin.flush()
    with pipe.open("wb"):  # opens when the builder opens the other end: it is in the middle of its work
        builder.send_signal(signal.SIGKILL)
        builder.wait()

    assert [entry.name.startswith(".") for entry in cache.iterdir()] == [True]

    pipe.unlink()
    pipe.write_bytes(sound)
    assert len(_read(folder, cache).pictures) == 6


def test_two_builders_at_once_share_one_result(folder, cache, start_builder):
    """Both processes end well with the same fingerprint, and one entry is left."""
    builders = [start_builder(), start_builder()]
    for builder in builders:
        builder.stdin.write("\n")
        builder.stdin.flush()

    prints = [builder.communicate()[0] for builder in builders]

    assert [builder.returncode for builder in builders] == [0, 0]
    assert [_read(folder, cache).fingerprint + "\n"] * 2 == prints
    assert [cache_key(folder, read_training(folder), SMALL)] == [entry.name for entry in cache.iterdir()]


def test_a_late_builder_takes_the_winners_result(folder, cache, start_builder):
    """A builder that finds its name taken when it is done drops its own work."""
    fifo = folder / "gel" / "[gel][pop_roc]0755__2.wav"
    sound = fifo.read_bytes()
    fifo.unlink()
    os.mkfifo(fifo)
    winner = cache / cache_key(folder, read_training(folder), SMALL)
    late = start_builder()
    late.stdin.write("\n")
    late.stdin.flush()
    with fifo.open("wb") as pipe:
        pipe.write(sound[:1000])
        shutil.copytree(_whole(folder, cache.with_name("elsewhere"), fifo, sound), winner)
        stamp = (winner / "index.json").stat().st_ino
        pipe.write(sound[1000:])
    late.communicate()

    assert late.returncode == 0
    assert [winner.name] == [entry.name for entry in cache.iterdir()]
    assert stamp == (winner / "index.json").stat().st_ino


def _whole(folder, cache, fifo, sound):
    """Build from a copy in which the pipe is a file, and return the entry of the cache."""
    copy = cache.with_name("whole copy")
    shutil.copytree(folder, copy, ignore=lambda *_: [fifo.name])
    (copy / fifo.relative_to(folder)).write_bytes(sound)
    _read(copy, cache)
    return next(cache.iterdir())


@pytest.mark.parametrize("name", ["pictures.npy", "index.json"])
def test_a_spoiled_cache_is_named(folder, cache, name):
    """An entry that was cut by hand or by a full disk is refused with the command that removes it."""
    _read(folder, cache)
    home = next(cache.iterdir())
    (home / name).write_bytes((home / name).read_bytes()[:-3000])

    with pytest.raises(UserError, match="cached features cannot be read") as caught:
        _read(folder, cache)

    assert str(home) == caught.value.where
    assert f"rm -r '{home}'" == caught.value.next_step


def test_a_cache_that_cannot_be_written_is_named(folder, tmp_path):
    """When the place of the cache is a file, the message says which key to change."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(UserError, match="cannot be written") as caught:
        _read(folder, tmp_path / "file" / "cache")

    assert caught.value.next_step.startswith("data.cache=")


def test_a_file_that_vanishes_is_named(folder, cache):
    """A clip that was listed and is gone has its own sentence."""
    clips = read_training(folder)
    (folder / clips[2].path).unlink()

    with pytest.raises(UserError, match="cannot be read") as caught:
        features(folder, clips, SMALL, cache)

    assert str(folder / clips[2].path) == caught.value.where


def test_the_default_cache_is_the_users(run_python, tmp_path):
    """XDG_CACHE_HOME decides, and the home folder where it is not set."""
    code = "from hpc_sweep.tasks.instruments.features import default_cache; print(default_cache())"
    path = {"PYTHONPATH": str(Path(__file__).parents[4])}

    printed = run_python("-c", code, env={**path, "XDG_CACHE_HOME": str(tmp_path)}).stdout
    printed += run_python("-c", code, env={**path, "XDG_CACHE_HOME": "", "HOME": "/home/x"}).stdout

    assert [str(tmp_path / "hpc_sweep/features"), "/home/x/.cache/hpc_sweep/features"] == printed.split("\n")[:2]
    assert default_cache().parent.name == "hpc_sweep"
