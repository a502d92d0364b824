"""What a person at a terminal is told of a sweep that goes on: where its trials stand, and when it may be over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hpc_sweep import records
from hpc_sweep.errors import CorruptRecordError
from hpc_sweep.report.terminal import printable
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep import paths
    from hpc_sweep.ledger import Ledger, Row

NAMED = 20
"""How many trials are named one by one of those that failed, and of those that diverged; and how many shards."""


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


def unfit_lines(sweep: paths.Sweep, ledger: Ledger) -> list[str]:
    """Return a sentence for each lost shard whose last attempt could not import what its next worker needed."""
    lost = sorted({row.trial.shard for row in ledger.rows if row.status is Status.LOST})
    why = {shard: _unfit(sweep.attempt(shard, ledger.shards[shard].attempt)) for shard in lost}
    told = [f"Shard {shard} ended early, for an import failed there: {text}" for shard, text in why.items() if text]
    return [*map(printable, told[:NAMED]), *([f"… and {len(told) - NAMED} more shards."] if len(told) > NAMED else [])]


def _unfit(attempt: paths.Attempt) -> str:
    try:
        lines = records.read_lines(attempt.progress, sealed=False, problems=[])
    except (OSError, CorruptRecordError):
        return ""
    return next((str(line.get("text")) for line in lines if line["event"] == "unfit"), "")


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
