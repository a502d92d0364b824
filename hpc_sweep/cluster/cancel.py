"""Ending a sweep, wherever it runs; all that is needed is its folder."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from hpc_sweep import ledger, records
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster import slurm
from hpc_sweep.cluster.reasons import command
from hpc_sweep.errors import CorruptRecordError, SchedulerError
from hpc_sweep.runtime.claim import alive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Submission


def cancel(sweep: paths.Sweep) -> str:
    """End every job of a sweep and keep new ones from starting; what was found stays, and `resume` goes on."""
    sweep_id = ledger.read_identity(sweep).sweep
    log = intents.submissions(sweep, sweep_id)
    if not log:
        return "Nothing of this sweep was ever submitted."
    # Written first: a steward that submits right now is overtaken, and a job that starts later does nothing.
    while not intents.append_cancel(sweep, sweep_id, intents.last(sweep)):
        continue
    ended = _end_processes(sweep, log)
    on_slurm = [one for one in intents.submissions(sweep, sweep_id) if one.intent.executor == "slurm"]
    if on_slurm:
        _end_jobs(sweep, on_slurm)
    return f"Cancelled. Ended {ended} processes here." if ended else "Cancelled."


def _end_jobs(sweep: paths.Sweep, log: Sequence[Submission]) -> None:
    tokens = {one.intent.token for one in log}
    try:
        # By token, because Slurm may have forgotten our jobs and given their numbers to others.
        slurm.scancel({task.job for task in slurm.queue() if task.name in tokens})
    except SchedulerError as error:
        raise SchedulerError(
            f"The sweep is cancelled, but its jobs could not be ended: {error.what}",
            next_step=f"Jobs that start will do nothing. To end those that run: {command('cancel', sweep.root)}",
        ) from None


def _end_processes(sweep: paths.Sweep, log: Sequence[Submission]) -> int:
    """Ask the supervisors of a local sweep to stop; a process is only ever named with the time when it began."""
    shards = {shard for one in log if one.intent.executor == "local" for shard in one.intent.shards}
    notes = [note for shard in shards for note in _claims(sweep, shard) if alive(note)]
    for note in notes:
        os.kill(note["pid"], signal.SIGTERM)
    return len(notes)


def _claims(sweep: paths.Sweep, shard: int) -> list[dict[str, Any]]:
    found = []
    for attempt in sweep.attempts(shard):
        try:
            found.append(records.read_json(attempt.claim))
        except (OSError, CorruptRecordError):
            continue
    return found
