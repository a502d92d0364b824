"""For how long a reader doubts its own caches before it believes that something is wrong.

On a network file system a whole file may look cut, or missing, until the attributes that a client keeps have expired:
60 seconds with NFS's defaults. A local file system keeps no such thing, and what is old enough has expired everywhere.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK_SECONDS = 65.0
"""Past the attribute cache of an NFS client with its default settings."""

OLD_SECONDS = 600.0
"""How old a file must be for no cache to be wrong about it, whatever its server's clock says."""

VARIABLE = "HPC_SWEEP_PATIENCE"
"""The environment variable that says otherwise, in seconds, for mounts with other settings (``acregmax``)."""

LOCAL = frozenset(("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"))
"""File systems of one machine; every other is taken for one of a network."""

_FIRST, _LONGEST = 0.2, 5.0


def pauses(path: Path, patience: float | None = None) -> Iterator[float]:
    """Sleep once before every new look at a file that could not be read, and end when it is time to believe it.

    ``patience`` in seconds is that of the file system unless it is given.
    """
    end = time.monotonic() + (of(path) if patience is None else patience)
    pause = _FIRST
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        yield pause
        pause = min(2 * pause, _LONGEST)


def of(path: Path) -> float:
    """Return how long to doubt what is read of a file."""
    if VARIABLE in os.environ:
        return float(os.environ[VARIABLE])
    if file_system(path) in LOCAL or _age(path) > OLD_SECONDS:
        return 0.0
    return NETWORK_SECONDS


def file_system(path: Path, mounts: str | None = None) -> str:
    """Return the type of the file system that a path lies on, as the kernel names it; empty when it does not say."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    where, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split()
        point, separator = _unescaped(fields[4]), fields.index("-")
        if len(point) >= len(where) and path.resolve().is_relative_to(point):
            where, kind = point, fields[separator + 1]
    return kind


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _unescaped(point: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, character)
    return point
