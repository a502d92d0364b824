"""How an entry of a log takes its number, so that nobody else can have it: one way for a whole sweep.

Most file systems have hard links. Where they are missing, an entry is a folder with one file in it. A log that some
wrote one way and some the other would have no order, so the mode is found out once and stands in ``sweep.json``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from hpc_sweep.errors import CorruptRecordError, UserError
from hpc_sweep.paths import IDENTITY
from hpc_sweep.records.files import NO_LINKS, read_json, take_by_link, take_by_rename, temporary

if TYPE_CHECKING:
    from pathlib import Path

ENTRY_NAME = "entry.json"
"""What the file in an entry that is a folder is called."""

_UP = 2
"""A log lies at most so many folders below its sweep."""


class Mode(StrEnum):
    """The two ways."""

    LINK = "link"
    RENAME = "rename"


def probe(folder: Path) -> Mode:
    """Find out which way a folder's file system offers; the folder is made. UserError when it offers none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for mode in Mode:
        if _works(mode, folder):
            return mode
    raise UserError(
        "Nothing can be recorded safely in this folder: its file system offers neither hard links nor renaming.",
        where=f"Folder: {folder}",
        next_step="Give a folder on another file system: hydra.sweep.dir=<dir>",
    )


def require(folder: Path) -> None:
    """Refuse a node on which the mode of a sweep does not work; UserError."""
    mode = mode_of(folder)
    if not _works(mode, folder):
        what = "hard links" if mode is Mode.LINK else "renamed folders"
        raise UserError(
            f"This sweep is recorded by {what}, and on {os.uname().nodename} they do not work in its folder.",
            where=f"Folder: {folder}",
            next_step="Mount it there as it is mounted where the sweep began, or exclude the node: "
            "hydra.launcher.exclude=<node>",
        )


def take(path: Path, content: bytes) -> bool:
    """Publish an entry under its number, in its sweep's mode; return False when the number is taken."""
    if mode_of(path.parent) is Mode.RENAME:
        return take_by_rename(path, content, ENTRY_NAME)
    return take_by_link(path, content)


def file_of(entry: Path) -> Path:
    """Return the file that holds an entry, whichever way it was published."""
    return entry / ENTRY_NAME if stat.S_ISDIR(os.lstat(entry).st_mode) else entry


def mode_of(folder: Path) -> Mode:
    """Return the mode of the sweep that a folder belongs to; outside of any sweep, by links."""
    for root in (folder, *folder.parents[:_UP]):
        if mode := _declared(root):
            return mode
    return Mode.LINK


def _declared(root: Path) -> Mode | None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return _read_mode(root)
    return None


@lru_cache(maxsize=64)
def _read_mode(root: Path) -> Mode:
    body = read_json(root / IDENTITY)
    try:
        return Mode(body["log_mode"])
    except (KeyError, TypeError, ValueError):
        raise CorruptRecordError(
            "sweep.json does not say how its logs are kept.", where=f"File: {root / IDENTITY}"
        ) from None


def _works(mode: Mode, folder: Path) -> bool:
    """Publish twice under one name: the first time it must work, the second time it must not."""
    target = temporary(folder / "probe")
    try:
        if mode is Mode.LINK:
            return take_by_link(target, b"1") and not take_by_link(target, b"2")
        return take_by_rename(target, b"1", ENTRY_NAME) and not take_by_rename(target, b"2", ENTRY_NAME)
    except OSError as error:
        if error.errno in NO_LINKS:
            return False
        raise
    finally:
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)
