"""What the exit status of the whole program must say once Hydra is done."""

from __future__ import annotations

_failed: set[str] = set()


def note_failure(sweep: str) -> None:
    """Remember that trials of a sweep have no outcome."""
    _failed.add(sweep)


def trials_failed() -> bool:
    """Tell whether any trial of this program's sweeps has no outcome."""
    return bool(_failed)
