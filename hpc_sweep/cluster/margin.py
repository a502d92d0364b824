"""How long before its time limit a job is told: measured, once a sweep has trained long enough to measure it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.errors import CorruptRecordError
from hpc_sweep.runtime.stop import lead

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Intent
    from hpc_sweep.ledger import Ledger

LARGEST_PART = 0.5
"""Of its time limit, what a job spends at most on stopping in time."""


def measured(intent: Intent, sweep: paths.Sweep, ledger: Ledger) -> Intent:
    """Return an intent whose jobs are told early enough for the slowest epoch and save so far, never later than asked.

    A trial stops at the end of an epoch and saves then; both have to fit between Slurm's signal and the time limit.
    """
    asked = intent.parameters.get("signal_delay_s")
    if not asked:
        return intent
    needed = lead(slowest_save(sweep, ledger.shards)) + slowest_epoch(ledger)
    most = LARGEST_PART * 60 * intent.parameters.get("timeout_min", 60)
    delay = max(asked, round(min(needed, most)))
    return replace(intent, parameters={**intent.parameters, "signal_delay_s": delay})


def slowest_epoch(ledger: Ledger) -> float:
    """Return the seconds of an epoch of the slowest trial, or of its stack, among the trials that ended."""
    return max((_epoch(row.result) for row in ledger.rows if row.result is not None), default=0.0)


def slowest_save(sweep: paths.Sweep, shards: Iterable[int]) -> float:
    """Return the seconds of the slowest checkpoint of some shards."""
    return max((note["seconds"] for shard in shards for note in _saves(sweep, shard)), default=0.0)


def _epoch(result: Mapping[str, Any]) -> float:
    """Return the seconds of one epoch of a trial and of what trained together with it.

    Our own trainer measures it; of other apps a trial's seconds are taken to be spread evenly over its epochs.
    """
    timed = (result.get("extras") or {}).get("stack", {}).get("epoch_seconds")
    return float(timed or (result.get("seconds") or 0.0) / max(result.get("epochs") or 1, 1))


def _saves(sweep: paths.Sweep, shard: int) -> Iterator[dict[str, float]]:
    for attempt in sweep.attempts(shard):
        try:
            notes = records.read_lines(attempt.progress, sealed=False, problems=[])
        except (OSError, CorruptRecordError):
            continue
        yield from (note for note in notes if note["event"] == "saved")
