"""Submitting to Slurm: an intent first, then the array, then the steward that collects."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from submitit.core.utils import CommandFunction, FailedJobError
from submitit.slurm.slurm import SlurmExecutor

from hpc_sweep import records
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster import script
from hpc_sweep.errors import SchedulerError, UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from hpc_sweep import paths

OUT_OF_REACH = ("Unable to contact", "Socket timed out", "Connection refused", "Zero Bytes", "temporarily unavailable")
POLL_SECONDS = 10.0
FINAL = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"}
)
"""States after which an array task will not run again; PREEMPTED is none, because Slurm requeues it."""


def submit(sweep: paths.Sweep, sweep_id: str, shards: Sequence[int], parameters: Mapping[str, Any]) -> tuple[str, str]:
    """Submit one array task for each shard, and its steward; return the two job ids."""
    threads = parameters.get("cpus_per_task") or 1
    intent = intents.Intent.new("slurm", shards, threads)
    sweep.job_output.mkdir(parents=True, exist_ok=True, mode=0o700)  # a missing one would fail the jobs without a word
    number = intents.publish(
        sweep, sweep_id, intent, lambda number: script.array(sweep, parameters, intent.token, number, len(shards))
    )
    array = _sbatch(sweep.script(number))
    text = script.steward(sweep, parameters.get("steward") or {}, intent.token, array)
    records.publish(_steward_script(sweep, number), text)
    steward = _sbatch(_steward_script(sweep, number))
    body = {"intent": number, "jobs": [array], "steward": steward}
    records.append(sweep.submissions, records.Kind.SUBMITTED, body, sweep=sweep_id)
    return array, steward


def preview(sweep: paths.Sweep, shards: Sequence[int], parameters: Mapping[str, Any]) -> str:
    """Return the script that `submit` would send."""
    return script.array(sweep, parameters, "hpc-sweep-preview", 1, len(shards))


def wait(jobs: Collection[str], seconds: float = POLL_SECONDS) -> None:
    """Return when none of the jobs is in the queue any more; ask once in `seconds`."""
    while queued(jobs):
        time.sleep(seconds)


def queued(jobs: Collection[str]) -> bool:
    """Tell whether Slurm still has one of the jobs in a state that is not final; SchedulerError when it is silent."""
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%T", f"--jobs={','.join(jobs)}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if "Invalid job id" in done.stderr:  # so old that slurmctld has forgotten it
        return False
    if done.returncode:
        raise SchedulerError("Slurm did not say whether the jobs are over.", where=done.stderr.strip())
    return any(state not in FINAL for state in done.stdout.split())


def environment() -> dict[str, str]:
    """Return the environment for a Slurm command: what an enclosing job set for itself must not leak into the next."""
    kept = ("SLURM_CONF",)
    return {k: v for k, v in os.environ.items() if k in kept or not k.startswith(("SLURM_", "SBATCH_", "SRUN_"))}


def _sbatch(path: Path) -> str:
    try:
        answer = CommandFunction(["sbatch", str(path)], verbose=False, env=environment())()
    except FailedJobError as error:
        raise _refusal(str(error), path) from None
    return SlurmExecutor._get_job_id_from_submission_command(answer)  # noqa: SLF001 because submitit parses it best


def _refusal(text: str, path: Path) -> SchedulerError | UserError:
    reason = text.strip().splitlines()[-1] if text.strip() else "sbatch said nothing"
    if any(sign in text for sign in OUT_OF_REACH):
        return SchedulerError(
            f"Slurm is out of reach: {reason}", where=f"Script: {path}", next_step="Type the same command again later."
        )
    return UserError(f"Slurm refused the job: {reason}", where=f"Script: {path}", next_step="Mend hydra.launcher.*")


def _steward_script(sweep: paths.Sweep, intent: int) -> Path:
    return sweep.script(intent).with_suffix(".steward.sbatch")
