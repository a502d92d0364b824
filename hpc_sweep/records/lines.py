"""Lines that carry their own checksum: a file of finished ones with one writer, or a file of one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hpc_sweep.records.files import read_text, write_all
from hpc_sweep.records.text import SEAL, corrupt, parse, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_line(file: int, value: Mapping[str, Any]) -> None:
    """Append one sealed JSON line to an open descriptor and fsync it: finished, though not yet published."""
    write_all(file, seal(value).encode("utf-8", "surrogatepass"))
    os.fsync(file)


def read_lines(path: Path, *, sealed: bool = True, problems: list[str] | None = None) -> list[Any]:
    """Return the whole lines of a file with one writer; a torn last line was never finished and is left out.

    CorruptRecordError names the first line that is damaged. With `problems` it is noted there, and the others count.
    """
    if not path.exists():
        return []
    *whole, _torn = read_text(path).split("\n")
    found = []
    for number, line in enumerate(whole, start=1):
        try:
            found.append(_unsealed(line) if sealed else parse(line))
        except (ValueError, TypeError) as error:
            problem = corrupt(path, f"line {number}: {error}")
            if problems is None:
                raise problem from None
            problems.append(str(problem))
    return found


def read_sealed(path: Path) -> dict[str, Any]:
    """Return the sealed object that a file of one line holds; CorruptRecordError names the file and the reason."""
    try:
        value, _ = unseal(read_text(path))
    except (ValueError, TypeError) as error:
        raise corrupt(path, str(error)) from None
    del value[SEAL]
    return value


def _unsealed(line: str) -> dict[str, Any]:
    value, _ = unseal(line + "\n")
    del value[SEAL]
    return value
