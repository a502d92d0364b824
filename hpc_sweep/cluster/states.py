"""Which shards are over: what the scheduler and the claiming processes say, to explain what the logs leave open."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from hpc_sweep import ledger, records
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster import slurm
from hpc_sweep.errors import SchedulerError
from hpc_sweep.runtime.claim import alive

if TYPE_CHECKING:
    from hpc_sweep import paths


def over(sweep: paths.Sweep) -> set[int]:
    """Return the shards whose jobs are known to have ended; a silent scheduler means that none is known."""
    sweep_id = ledger.read_identity(sweep).sweep
    ended: set[int] = set()
    for _, intent, jobs in intents.submissions(sweep, sweep_id):
        if intent.executor == "local":
            ended |= {shard for shard in intent.shards if _process_ended(sweep, shard)}
        elif jobs and _jobs_ended(jobs):
            ended |= set(intent.shards)
    return ended


def _process_ended(sweep: paths.Sweep, shard: int) -> bool:
    attempts = [attempt for attempt in sweep.attempts(shard) if attempt.claim.exists()]
    return bool(attempts) and alive(records.read_json(attempts[-1].claim)) is False


def _jobs_ended(jobs: tuple[str, ...]) -> bool:
    if shutil.which("squeue") is None:
        return False
    try:
        return not slurm.queued(jobs)
    except SchedulerError:
        return False
