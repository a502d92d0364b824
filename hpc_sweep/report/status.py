"""What a person at a terminal is told of a sweep that goes on: where its trials stand, and when it may be over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hpc_sweep.report.terminal import printable
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from hpc_sweep.ledger import Ledger, Row

NAMED = 20
"""How many failed trials are named one by one."""


def status_lines(ledger: Ledger) -> list[str]:
    """Return where every trial of a sweep stands: the counts, then what needs a person's eye."""
    counts = {name: count for name, count in ledger.counts.items() if count}
    total = len(ledger.rows)
    lines = [f"{total} trials planned: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
    seconds = seconds_left(ledger)
    if seconds is not None:
        lines.append(f"About {timedelta(seconds=round(seconds))} are left, by the trials that ended.")
    failed = [row for row in ledger.rows if row.failure is not None and row.result is None]
    lines += [_failure_line(row) for row in failed[:NAMED]]
    if len(failed) > NAMED:
        lines.append(f"… and {len(failed) - NAMED} more failed.")
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


def _failure_line(row: Row) -> str:
    error = row.failure["error"] if row.failure else {}
    last = (str(error.get("text")).splitlines() or [""])[-1]
    return printable(f"Run {row.trial.number} failed ({error.get('reason')}): {last}")
