"""The numbered log: a folder of numbered, immutable entries.

An entry is written beside, flushed, and then takes the next free number: so a log has one order, no entry is ever
lost, changed or half there, and two writers never both believe that they were first. ``.json`` holds one object;
``.jsonl`` has the same object in its first line and rows below it. The checksum is that of the whole text, itself
left empty; so not one byte of an entry can change unnoticed.

::

    {"attempt": "0003/1", "body": {…}, "kind": "result", "part": {…} | null, "schema": 2, "sha256": "…", "sweep": "…"}
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import CorruptRecordError, ForeignSweepError
from hpc_sweep.paths import ENTRY
from hpc_sweep.records.files import read_text
from hpc_sweep.records.modes import file_of, take
from hpc_sweep.records.patience import pauses
from hpc_sweep.records.text import MAX_BYTES, canonical, corrupt, parse, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA = 2

_TWICE = "its number stands there twice"
_KEEP = "Nothing was deleted. Restore it from a copy, or leave it where it is: moved away, it hides what follows it."


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


@dataclass(frozen=True)
class Corrupt:
    """A number of a log whose entry is there and cannot be used."""

    number: int
    error: CorruptRecordError


@dataclass(frozen=True)
class Hole:
    """A number of a log that nothing stands under, though `behind` entries stand under higher ones."""

    number: int
    behind: int


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
    was decided from the log before must be decided again. ValueError for what no reader would take.
    """
    head = {"schema": SCHEMA, "kind": kind, "sweep": sweep, "attempt": attempt, "part": part, "body": body}
    content = seal(head, [canonical(row) for row in rows or ()]).encode("utf-8", "surrogatepass")
    _refuse_unreadable(head, rows or (), len(content))
    log.mkdir(parents=True, exist_ok=True, mode=0o700)
    suffix = ".json" if rows is None else ".jsonl"
    number = last_number(log) + 1 if at is None else at
    while not take(log / f"{number:06d}{suffix}", content):
        if at is not None:
            return 0
        number += 1
    return number


def read(log: Path, *, sweep: str, after: int = 0, patience: float | None = None) -> Iterator[Entry]:
    """Yield the entries of a log that follow number `after`, in order, as far as they are dense.

    A hole means that an entry is not visible yet. One that cannot be read raises CorruptRecordError, one of another
    sweep ForeignSweepError: then the records of two sweeps were mixed in one folder.
    """
    for found in scan(log, sweep=sweep, after=after, patience=patience):
        if isinstance(found, Corrupt):
            raise found.error
        yield found


def scan(log: Path, *, sweep: str, after: int = 0, patience: float | None = None) -> Iterator[Entry | Corrupt]:
    """Yield what stands under the numbers of a log that follow `after`, also where it cannot be used.

    What cannot be read is read again for `patience` seconds before it is called corrupt; by default for as long as its
    file system may show an old state. All the entries of one call share that time.
    """
    waits: Iterator[float] | None = None
    for number, (path, *others) in _dense(log, after):
        found = _parse(number, path) if not others else Corrupt(number, corrupt(path, _TWICE, _KEEP))
        if isinstance(found, Corrupt):
            waits = pauses(path, patience) if waits is None else waits
            found = _patiently(found, path, waits)
        if isinstance(found, Entry) and found.sweep != sweep:
            raise ForeignSweepError(
                "The folder holds records of two sweeps.",
                where=f"File: {path}",
                next_step="Bring back the folder from a copy, or move the records of the other sweep away.",
            )
        yield found


def hole(log: Path, *, after: int = 0) -> Hole | None:
    """Return the first hole of a log behind number `after`; what stands behind it is read by nobody."""
    # A name that is given while a folder is listed may be left out of the list; by the next one it is there.
    return _first_hole(log, after) and _first_hole(log, after)


def last_number(log: Path) -> int:
    """Return the highest number in a log, 0 when it is empty."""
    return max(_numbered(log), default=0)


def _numbered(log: Path) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for path in log.iterdir() if log.is_dir() else ():
        if match := ENTRY.match(path.name):
            found.setdefault(int(match[1]), []).append(path)
    return found


def _first_hole(log: Path, after: int) -> Hole | None:
    numbers = sorted(number for number in _numbered(log) if number > after)
    wanted = enumerate(numbers, start=after + 1)
    return next((Hole(number, after + 1 + len(numbers) - number) for number, there in wanted if number != there), None)


def _dense(log: Path, after: int) -> Iterator[tuple[int, list[Path]]]:
    paths = _numbered(log)
    number = after + 1
    while number in paths:
        yield number, paths[number]
        number += 1


def _patiently(found: Corrupt, path: Path, waits: Iterator[float]) -> Entry | Corrupt:
    for _ in waits:
        again = _parse(found.number, path)
        if isinstance(again, Entry):
            return again
    return found


def _parse(number: int, path: Path) -> Entry | Corrupt:
    try:
        head, rows = unseal(read_text(file_of(path)))
        return _entry(number, head, rows)
    except CorruptRecordError as error:
        return Corrupt(number, CorruptRecordError(error.what, where=error.where, next_step=_KEEP))
    except OSError as error:
        return Corrupt(number, corrupt(path, f"it cannot be read ({error.strerror})", _KEEP))
    except (ValueError, KeyError, TypeError) as error:
        return Corrupt(number, corrupt(path, f"it cannot be parsed ({error})", _KEEP))


def _entry(number: int, head: dict[str, Any], rows: tuple[Any, ...]) -> Entry:
    """Return an entry whose fields all have their types; ValueError, KeyError or TypeError otherwise."""
    schema = head.pop("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise ValueError(f"its schema is {schema!r}, not {SCHEMA}")
    kind = Kind(head.pop("kind"))
    texts = [head[name] for name in ("sweep", "attempt", "sha256")]
    objects = [head["body"], *rows, *([] if head["part"] is None else [head["part"]])]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(value, dict) for value in objects):
        raise TypeError("a field has another type than it must have")
    return Entry(number=number, kind=kind, rows=rows, **head)


def _refuse_unreadable(head: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"an entry of {size >> 20} MiB is larger than the {MAX_BYTES >> 20} MiB that are read")
    for value in (head, *rows):
        parse(canonical(value))
