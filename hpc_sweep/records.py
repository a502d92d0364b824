"""The numbered log: how all shared state is written and read.

A log is a folder of numbered, immutable files. An entry is written beside, flushed, and hard-linked to the next free
number: so a log has one order, no entry is ever lost, changed or half there, and two writers never both believe that
they were first. ``.json`` holds one object; ``.jsonl`` has the same object in its first line and rows below it.

::

    {"schema": 1, "kind": "result", "sweep": "…", "attempt": "0003/1", "part": {…} | null, "sha256": "…", "body": {…}}
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

from hpc_sweep.errors import CorruptRecordError, ForeignSweepError
from hpc_sweep.paths import ENTRY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA = 1
MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32


class Kind(StrEnum):
    """Everything that an entry can be."""

    PLAN = "plan"
    INTENT = "intent"
    SUBMITTED = "submitted"
    RESULT = "result"
    RUNG = "rung"
    CHOICE = "choice"
    END = "end"


@dataclass(frozen=True)
class Entry:
    """One entry of a log, read back. ``rows`` is empty for a ``.json`` entry."""

    number: int
    kind: Kind
    sweep: str
    attempt: str
    part: Mapping[str, Any] | None
    sha256: str
    body: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...] = ()


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN; ValueError or TypeError otherwise."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """Return the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def parse(text: str) -> Any:  # noqa: ANN401 because JSON has no narrower type
    """Parse JSON strictly: no NaN, no duplicate keys, at most 32 levels; ValueError otherwise."""
    value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    _limit_depth(value, MAX_DEPTH)
    return value


def read_text(path: Path) -> str:
    """Read a regular file of bounded size without following a link; OSError or CorruptRecordError otherwise."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise _corrupt(path, "it is no regular file")
        if state.st_size > MAX_BYTES:
            raise _corrupt(path, f"it is larger than {MAX_BYTES >> 20} MiB")
        try:
            return file.read().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise _corrupt(path, "it is not UTF-8") from None


def read_json(path: Path) -> Any:  # noqa: ANN401 because JSON has no narrower type
    """Read one JSON file; CorruptRecordError names the file and the reason."""
    try:
        return parse(read_text(path))
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, str(error)) from None


def publish(path: Path, text: str) -> bool:
    """Write a text file whole, under a name that nobody has; return False when the name is taken."""
    return publish_bytes(path, text.encode("utf-8", "surrogatepass"))


def publish_bytes(path: Path, content: bytes) -> bool:
    """Write a file whole, under a name that nobody has; return False when the name is taken.

    Whether a failed link has in fact succeeded is asked of the file itself: two links mean published.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.parent / f".{path.name}-{uuid.uuid4().hex}"
    _write_whole(beside, content)
    try:
        try:
            os.link(beside, path)
        except OSError:
            if beside.stat().st_nlink != 2:  # noqa: PLR2004 because a published file has exactly its two names
                if path.exists():
                    return False
                raise
        sync_folder(path.parent)
        return True
    finally:
        beside.unlink()


def replace(path: Path, content: str | bytes) -> None:
    """Write a derived file whole in the place of its older version; logs are never written so."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.parent / f".{path.name}-{uuid.uuid4().hex}"
    _write_whole(beside, content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    beside.replace(path)
    sync_folder(path.parent)


def append(  # noqa: PLR0913 because an entry says all of this about itself
    log: Path,
    kind: Kind,
    body: Mapping[str, Any],
    *,
    sweep: str,
    attempt: str = "",
    part: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    at: int | None = None,
) -> int:
    """Append an entry to a log and return its number; `rows` make it a ``.jsonl``.

    With ``at`` the entry is written under this number or not at all: 0 says that somebody else took it, and that what
    was decided from the log before must be decided again.
    """
    lines = [canonical(row) for row in rows or ()]
    head = {"schema": SCHEMA, "kind": kind, "sweep": sweep, "attempt": attempt, "part": part}
    text = "\n".join([canonical({**head, "sha256": _checksum(body, lines), "body": body}), *lines]) + "\n"
    suffix = ".json" if rows is None else ".jsonl"
    number = last_number(log) + 1 if at is None else at
    while not publish(log / f"{number:06d}{suffix}", text):
        if at is not None:
            return 0
        number += 1
    return number


def read(log: Path, *, sweep: str, after: int = 0) -> Iterator[Entry]:
    """Yield the entries of a log that follow number `after`, in order, as far as they are dense.

    A hole means that an entry is not visible yet. One that cannot be read raises CorruptRecordError, one of another
    sweep ForeignSweepError: then the records of two sweeps were mixed in one folder.
    """
    for number, path in _dense(log, after):
        entry = _parse_entry(number, path)
        if entry.sweep != sweep:
            raise ForeignSweepError(
                "The folder holds records of two sweeps.",
                where=f"File: {path}",
                next_step="Bring back the folder from a copy, or move the records of the other sweep away.",
            )
        yield entry


def last_number(log: Path) -> int:
    """Return the highest number in a log, 0 when it is empty."""
    return max(_numbered(log), default=0)


def write_line(file: int, value: object) -> None:
    """Append one JSON line to an open descriptor and fsync it: finished, though not yet published."""
    line = memoryview((canonical(value) + "\n").encode("utf-8", "surrogatepass"))
    while line:
        line = line[os.write(file, line) :]
    os.fsync(file)


def read_lines(path: Path) -> list[Any]:
    """Return the whole lines of a file with one writer; a torn last line was never finished and is left out."""
    if not path.exists():
        return []
    *whole, _torn = read_text(path).split("\n")
    try:
        return [parse(line) for line in whole if line]
    except ValueError as error:
        raise _corrupt(path, str(error)) from None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_whole(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _numbered(log: Path) -> dict[int, Path]:
    names = log.iterdir() if log.is_dir() else ()
    return {int(match[1]): path for path in names if (match := ENTRY.match(path.name))}


def _dense(log: Path, after: int) -> Iterator[tuple[int, Path]]:
    paths = _numbered(log)
    number = after + 1
    while number in paths:
        yield number, paths[number]
        number += 1


def _parse_entry(number: int, path: Path) -> Entry:
    first, *lines = read_text(path).removesuffix("\n").split("\n")
    try:
        head = parse(first)
        rows = tuple(parse(line) for line in lines)
        entry = Entry(
            number, Kind(head["kind"]), head["sweep"], head["attempt"], head["part"], head["sha256"], head["body"], rows
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _corrupt(path, f"it cannot be parsed ({error})") from None
    if head.get("schema") != SCHEMA:
        raise _corrupt(path, f"its schema is {head.get('schema')!r}, not {SCHEMA}")
    if _checksum(entry.body, lines) != entry.sha256:
        raise _corrupt(path, "its checksum does not fit its content")
    return entry


def _checksum(body: Mapping[str, Any], lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([canonical(body), *lines]).encode("utf-8", "surrogatepass")).hexdigest()


def _corrupt(path: Path, reason: str) -> CorruptRecordError:
    return CorruptRecordError(
        f"A record cannot be used: {reason}.",
        where=f"File: {path}",
        next_step="Nothing was deleted; restore the file from a copy, or move it away to lose what it holds.",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _limit_depth(value: object, left: int) -> None:
    if left == 0:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        if isinstance(child, (dict, list)):
            _limit_depth(child, left - 1)
