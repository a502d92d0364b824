"""What a person at a terminal is told of a sweep that goes on: where its trials stand, and when it may be over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hpc_sweep.report.terminal import printable
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.ledger import Ledger, Row

NAMED = 20
"""How many trials are named one by one of those that failed, and of those that diverged."""


def status_lines(ledger: Ledger) -> list[str]:
    """Return where every trial of a sweep stands: the counts, then what needs a person's eye."""
    counts = {name: count for name, count in ledger.counts.items() if count}
    total = len(ledger.rows)
    lines = [f"{total} trials planned: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
    seconds = seconds_left(ledger)
    if seconds is not None:
        lines.append(f"About {timedelta(seconds=round(seconds))} are left, by the trials that ended.")
    lines += _named([row for row in ledger.rows if row.failure is not None and row.result is None], "failed")
    lines += _named([row for row in ledger.rows if row.status is Status.DIVERGED], "diverged")
    lines += [
        f"Conflict: trial {one.id[:12]} ended twice, differently; the first outcome stands." for one in ledger.conflicts
    ]
    return lines + list(ledger.problems)


def seconds_left(ledger: Ledger) -> float | None:
    """Return in how many seconds the open trials may end, by the mean time of those that ended; None when unknown.

    The shards that run now are taken to go on side by side.
    """
    ended = [row.result["seconds"] for row in ledger.rows if row.result is not None and "seconds" in row.result]
    left = sum(row.status in {Status.PLANNED, Status.RUNNING} for row in ledger.rows)
    shards = {row.trial.shard for row in ledger.rows if row.status is Status.RUNNING}
    if not (ended and left and shards):
        return None
    return float(sum(ended) / len(ended) * left / len(shards))


def _named(rows: Sequence[Row], how: str) -> list[str]:
    """Return a line for each of the first trials that ended so, and how many more there are."""
    more = len(rows) - NAMED
    lines = [printable(f"Run {row.trial.number} {how}{_why(row)}") for row in rows[:NAMED]]
    return [*lines, f"… and {more} more {how}."] if more > 0 else lines


def _why(row: Row) -> str:
    if row.result is not None:
        note = str(row.result.get("note") or "")
        return f": {note}" if note else ""
    error = row.failure["error"] if row.failure else {}
    return f" ({error.get('reason')}): {_gist(str(error.get('text')))}"


def _gist(text: str) -> str:
    """Return what a failure's text says in one line: what and what to do of sentences, the exception of a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    if len(lines) == 1 or lines[0].startswith(("Traceback", 'File "')):
        return lines[-1]
    return f"{lines[0]} {lines[-1]}"
