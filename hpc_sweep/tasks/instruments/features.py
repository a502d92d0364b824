"""The pictures of a data set: computed once, cached under a digest of files and parameters, memory-mapped after.

::

    <cache>/<digest>/pictures.npy     uint8 (clips, size, size)
    <cache>/<digest>/index.json       parameters, classes and, per clip: path, label, song, digest of its content
    <cache>/.<digest>-<uuid>/         a builder at work, or one that died; no reader looks into it

A folder appears under its digest by one rename when it is whole. Of two builders the later one finds the name taken,
drops its own work and reads the other's, which is the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hpc_sweep.errors import CorruptRecordError, UserError
from hpc_sweep.records import canonical, digest, parse, read_text
from hpc_sweep.tasks.instruments.groups import song_groups
from hpc_sweep.tasks.instruments.irmas import CLASSES
from hpc_sweep.tasks.instruments.logmel import LogMel, picture
from hpc_sweep.tasks.instruments.progress import available_cores, track
from hpc_sweep.tasks.instruments.wav import decode_mono, fit_length, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from hpc_sweep.tasks.instruments.irmas import Clip

VERSION = 1
PICTURES = "pictures.npy"
INDEX = "index.json"


@dataclass(frozen=True)
class FeatureSet:
    """Everything that training needs of a data set.

    Parameters
    ----------
    pictures
        uint8, shape (clips, size, size), read-only.
    labels
        Index into ``classes``, shape (clips,).
    groups
        Clips with one number belong together and must not be parted by a split, shape (clips,).
    classes
        Names of the classes.
    fingerprint
        Digest of content, labels, groups and parameters: equal data have equal fingerprints, wherever they lie.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    classes: tuple[str, ...]
    fingerprint: str


def default_cache() -> Path:
    """Return the folder of cached features of this user."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hpc_sweep" / "features"


def features(
    folder: Path, clips: Sequence[Clip], parameters: LogMel, cache: Path, workers: int | None = None
) -> FeatureSet:
    """Return the pictures of ``clips`` (paths relative to ``folder``), from the cache or computed into it.

    ``workers`` threads compute, by default one per core that this process may use. Raises ``UserError`` naming the
    file when one cannot be read; nothing is kept then.
    """
    home = cache / cache_key(folder, clips, parameters)
    if not home.is_dir():
        _build(home, folder, clips, parameters, workers or available_cores())
    return _open(home)


def cache_key(folder: Path, clips: Sequence[Clip], parameters: LogMel) -> str:
    """Return the digest of names, sizes and times of the files with what is computed from them."""
    files = [(clip.path, *_size_and_time(folder / clip.path)) for clip in clips]
    return digest({"version": VERSION, "parameters": asdict(parameters), "files": files})


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        what = f"This file cannot be read ({error.strerror})."
        raise UserError(what, where=str(path), next_step="check the path and its permissions") from None
    return status.st_size, status.st_mtime_ns


def _build(home: Path, folder: Path, clips: Sequence[Clip], parameters: LogMel, workers: int) -> None:
    beside = home.with_name(f".{home.name}-{uuid.uuid4().hex}")
    try:
        beside.mkdir(parents=True)
        _fill(beside, folder, clips, parameters, workers)
        _publish(beside, home)
    except OSError as error:
        what = f"The cache of features cannot be written ({error.strerror})."
        raise UserError(what, where=str(home.parent), next_step="data.cache=<folder with space>") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _fill(beside: Path, folder: Path, clips: Sequence[Clip], parameters: LogMel, workers: int) -> None:
    contents = []
    # Threads, not processes: reading and transforming release the interpreter's lock.
    with ThreadPoolExecutor(workers) as pool, (beside / PICTURES).open("wb") as file:
        _write_header(file, (len(clips), parameters.size, parameters.size))
        results = pool.map(lambda clip: _compute(folder / clip.path, parameters), clips)
        for content, pixels in track(results, len(clips), "log-mel features"):
            contents.append(content)
            file.write(pixels.tobytes())
        _flush(file)
    with (beside / INDEX).open("wb") as file:
        file.write(canonical(_index(clips, contents, parameters)).encode())
        _flush(file)


def _compute(path: Path, parameters: LogMel) -> tuple[str, NDArray[np.uint8]]:
    data = read_bytes(path)
    samples = decode_mono(data, parameters.sample_rate, str(path))
    return hashlib.sha256(data).hexdigest(), picture(fit_length(samples, parameters.samples), parameters)


def _write_header(file: BinaryIO, shape: tuple[int, int, int]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _index(clips: Sequence[Clip], contents: Iterable[str], parameters: LogMel) -> dict[str, Any]:
    rows = [
        {"path": clip.path, "label": clip.label, "song": clip.song, "content": content}
        for clip, content in zip(clips, contents, strict=True)
    ]
    return {"schema": VERSION, "parameters": asdict(parameters), "classes": CLASSES, "clips": rows}


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(beside: Path, home: Path) -> None:
    try:
        beside.rename(home)
    except OSError:
        if not home.is_dir():
            raise


def _open(home: Path) -> FeatureSet:
    try:
        return _assemble(parse(read_text(home / INDEX)), np.load(home / PICTURES, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, KeyError, TypeError, CorruptRecordError) as error:
        what = f"These cached features cannot be read ({error})."
        raise UserError(what, where=str(home), next_step=f"rm -r '{home}'") from None


def _assemble(index: dict[str, Any], pictures: NDArray[np.uint8]) -> FeatureSet:
    rows = index["clips"]
    if len(pictures) != len(rows):
        message = f"{len(pictures)} pictures of {len(rows)} clips"
        raise ValueError(message)
    classes = tuple(index["classes"])
    labels = np.array([classes.index(row["label"]) for row in rows], dtype=np.int64)
    groups = song_groups([row["song"] for row in rows], [row["content"] for row in rows])
    return FeatureSet(pictures, labels, groups, classes, _fingerprint(index, labels, groups))


def _fingerprint(index: dict[str, Any], labels: NDArray[np.int64], groups: NDArray[np.int64]) -> str:
    contents = [row["content"] for row in index["clips"]]
    judged = {"labels": labels.tolist(), "groups": groups.tolist(), "classes": index["classes"]}
    return digest({"parameters": index["parameters"], "contents": contents, **judged})
