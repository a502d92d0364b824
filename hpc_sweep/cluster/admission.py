"""May this job run? One job only runs an index of an intent, and only while the intent is wanted.

A job that nobody knows of may start at any time: its sbatch had failed, or so it seemed. The exclusive publication of
``started/<intent>_<index>.json`` turns away every job but the first; then the log says whether the intent is void,
cancelled or outdated. Whoever submits again writes that down first and looks for started jobs after it, so one of the
two always sees the other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpc_sweep import records
from hpc_sweep.cluster import intent as intents

if TYPE_CHECKING:
    from hpc_sweep import paths


def refusal(sweep: paths.Sweep, sweep_id: str, number: int, index: int) -> str:
    """Return why this process has nothing to do for an index of an intent, or an empty text when it may run."""
    intent = intents.read(sweep, sweep_id, number)
    job = own_job(intent)
    if job and starter(sweep, number, index, claim=job) != job:
        return f"Job {starter(sweep, number, index)} runs this part of submission {number} already."
    log = intents.submissions(sweep, sweep_id)
    mine = next(one for one in log if one.number == number)
    if not mine.valid:
        return f"Submission {number} is not wanted any more: {mine.refused or 'it was cancelled'}."
    if intent.role != intents.ARRAY:
        return ""
    newer = intents.newest(log, intent.shards[index])
    if newer is not None and newer.number > number:
        return f"Submission {newer.number} has taken over shard {intent.shards[index]}."
    return ""


def starter(sweep: paths.Sweep, number: int, index: int, *, claim: str = "") -> str:
    """Return the job that runs an index of an intent, empty when none does; with `claim`, that job if none did."""
    path = sweep.started(number, index)
    if claim:
        records.publish(path, records.canonical({"job": claim}) + "\n")
    return str(records.read_json(path)["job"]) if path.exists() else ""


def started(sweep: paths.Sweep, number: int) -> set[str]:
    """Return the jobs that started anything of an intent."""
    folder = sweep.started(number, 0).parent
    found = folder.glob(f"{number:06d}_*.json") if folder.is_dir() else ()
    return {str(records.read_json(path)["job"]) for path in found}


def own_job(intent: intents.Intent) -> str:
    """Return Slurm's id of the job that this process is, when it is a job of the intent; empty otherwise."""
    if os.environ.get("SLURM_JOB_NAME") != intent.token:
        return ""
    return os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "")
