"""Files that are whole or not there: written beside, fsynced, and only then given their name.

What a dead writer leaves beside has a name that no reader matches. An error names the file that was to be written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import uuid
from typing import TYPE_CHECKING, Any

from hpc_sweep.records.text import MAX_BYTES, corrupt, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What `link` says on a file system that has no hard links."""

_BESIDE = re.compile(r"^\.(.+)-[0-9a-f]{32}$")
_BOTH_NAMES = 2
_CONTENT = "content"


def read_text(path: Path) -> str:
    """Read a regular file of bounded size without following a link; OSError or CorruptRecordError otherwise."""
    try:
        descriptor = _open(path)
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        descriptor = _open(path)  # the file was replaced under a cached handle
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise corrupt(path, "it is no regular file")
        if state.st_size > MAX_BYTES:
            raise corrupt(path, f"it is larger than {MAX_BYTES >> 20} MiB")
        try:
            return file.read().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise corrupt(path, "it is not UTF-8") from None


def read_json(path: Path) -> Any:  # noqa: ANN401 because JSON has no narrower type
    """Read one JSON file; CorruptRecordError names the file and the reason."""
    try:
        return parse(read_text(path))
    except ValueError as error:
        raise corrupt(path, str(error)) from None


def write_whole(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write and fsync a new file; when the disk refuses, nothing is left of it. OSError names the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            for part in parts:
                write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write everything, however little the kernel takes at once."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(path: Path, text: str) -> bool:
    """Write a text file whole, under a name that nobody has; return False when the name is taken."""
    return publish_bytes(path, text.encode("utf-8", "surrogatepass"))


def publish_bytes(path: Path, content: bytes) -> bool:
    """Write a file whole, under a name that nobody has; return False when the name is taken."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = temporary(path)
    with _naming(path):
        write_whole(beside, [content])
        try:
            published = _link(beside, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            published = _publish_by_folder(path, content)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()
    return published


def take_by_link(path: Path, content: bytes) -> bool:
    """Publish by a hard link only: the mode in which a log is kept must be the same everywhere."""
    beside = temporary(path)
    with _naming(path):
        write_whole(beside, [content])
        try:
            return _link(beside, path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()


def take_by_rename(path: Path, content: bytes, name: str) -> bool:
    """Publish a folder with one file in it by renaming: a folder that has something in it is never replaced."""
    beside = temporary(path)
    with _naming(path):
        beside.mkdir(mode=0o700)
        try:
            write_whole(beside / name, [content])
            sync_folder(beside)
            published = _rename(beside, path)
            if published:
                sync_folder(path.parent)
            return published
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def replace(path: Path, content: str | bytes) -> None:
    """Write a derived file whole in the place of its older version; logs are never written so."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = temporary(path)
    with _naming(path):
        write_whole(beside, [content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content])
        try:
            beside.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        sync_folder(path.parent)


def temporary(path: Path) -> Path:
    """Return a name beside a file that nobody else has and that no reader matches."""
    return path.parent / f".{path.name}-{uuid.uuid4().hex}"


def remove_leftovers(files: Collection[Path], before: float) -> None:
    """Remove what dead writers left beside files, last changed before a time by their file system's clock."""
    for folder in {path.parent for path in files}:
        for path in folder.iterdir() if folder.is_dir() else ():
            match = _BESIDE.match(path.name)
            if match and folder / match[1] in files:
                with contextlib.suppress(OSError):  # another one was faster, or it is not ours to remove
                    if path.lstat().st_mtime < before:
                        path.unlink()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors name a file that was to be written, not the one beside it that is gone again."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _link(beside: Path, path: Path) -> bool:
    """Give a file its second name. Whether a failed link has in fact succeeded is asked of the file itself."""
    try:
        os.link(beside, path)
    except OSError as error:
        if _links(beside) != _BOTH_NAMES:
            if isinstance(error, FileExistsError) or os.path.lexists(path):
                return False
            raise
    sync_folder(path.parent)
    return True


def _links(path: Path) -> int:
    """Count the names of a file, opened anew: an open asks the server, a stat may ask a cache."""
    descriptor = _open(path)
    try:
        return os.fstat(descriptor).st_nlink
    finally:
        os.close(descriptor)


def _rename(beside: Path, path: Path) -> bool:
    """Rename a folder to a name that nobody has. A failed rename that in fact succeeded is known by its inode."""
    ours = beside.stat().st_ino
    try:
        beside.rename(path)
    except OSError:
        if not os.path.lexists(path):
            raise
        return path.stat().st_ino == ours
    return True


def _publish_by_folder(path: Path, content: bytes) -> bool:
    """Publish where hard links are missing: who takes the folder has decided, and anybody may finish its work."""
    if os.path.lexists(path):
        return False
    decided = path.parent / f".{path.name}.once"
    won = take_by_rename(decided, content, _CONTENT)
    if os.path.lexists(path):
        won = False
    else:
        replace(path, (decided / _CONTENT).read_bytes())
    if won:
        shutil.rmtree(decided, ignore_errors=True)
    return won
