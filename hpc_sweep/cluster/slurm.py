"""Slurm's commands: what is asked, how the answer is read, and when there was none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hpc_sweep.errors import SchedulerError, SweepError, UserError

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

PATIENCE = 60.0
"""Seconds after which a command that only asks is given up."""

FINAL = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"}
)
"""States after which an array task will not run again; PREEMPTED is none, because Slurm requeues it."""

_REFUSED = re.compile(
    r"Batch job submission failed: (?P<why>.+)"
    r"|sbatch: (?:error: )?(?P<call>Invalid .+|Unable to open .+|(?:unrecognized |unknown )?option .+)"
)
_FULL = re.compile(r"(?:Assoc|QOS)\w*Submit\w*|Resource temporarily unavailable|MaxJobCount")
_OUT_OF_REACH = re.compile(
    "Unable to contact|timed out|Connection|Zero Bytes|Unexpected message|slurmctld|protocol|Transport|"
    "Insane message|Unspecified error|backup mode|Communication"
)


class UnclearError(SweepError):
    """Sbatch gave no usable answer: the job may be there or not."""


class FullError(SweepError):
    """Slurm takes no further job now, because a limit of the cluster or the user is met."""


@dataclass(frozen=True)
class Task:
    """One line of the queue: a job, or one task of an array (``index`` is 0 for a job that is no array)."""

    user: str
    job: str
    index: int
    name: str
    state: str
    reason: str

    @property
    def live(self) -> bool:
        """Whether it runs or may still run."""
        return self.state not in FINAL and self.state != "COMPLETING"

    @property
    def ending(self) -> bool:
        """Whether its processes are being ended; it may still be requeued."""
        return self.state == "COMPLETING"


def present() -> bool:
    """Tell whether Slurm's commands are on PATH."""
    return shutil.which("squeue") is not None


def queue() -> list[Task]:
    """Return every job that Slurm knows, of all users, array tasks one by one; SchedulerError when it is silent."""
    answer = ask("squeue", "--noheader", "--all", "--array", "--states=all", "--format=%u|%F|%K|%j|%T|%r")
    return [_task(line) for line in answer.splitlines() if line.count("|") >= len(Task.__dataclass_fields__) - 1]


def accounted(token: str, since: datetime) -> set[str]:
    """Return the jobs of a name that the accounting knows; none where there is no accounting."""
    # A day earlier, because sacct reads local time, and clocks may differ.
    start = (since - timedelta(days=1)).strftime("%Y-%m-%d")
    try:
        answer = ask("sacct", "--noheader", "-X", "--parsable2", f"--name={token}", "--format=JobID", "-S", start)
    except SchedulerError:
        return set()
    return {line.partition("_")[0] for line in answer.split()}


def sbatch(script: Path, *options: str) -> str:
    """Submit a script and return its job id: the only place where a job is sent.

    UnclearError when the job may or may not be there, FullError when a limit is met, UserError when it was refused.
    """
    command = ["sbatch", "--parsable", *options, str(script)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(), check=False
    )
    job = done.stdout.strip().partition(";")[0]
    if done.returncode == 0 and job.isdigit():
        return job
    raise refusal(done.stderr, done.returncode)


def scancel(jobs: Collection[str]) -> None:
    """Cancel jobs by id; one that is over already is no error."""
    if jobs:
        ask("scancel", "--quiet", *sorted(jobs))


def refusal(text: str, status: int) -> SweepError:
    """Judge what sbatch said when it gave no job id."""
    said = _REFUSED.findall(text)
    why = (said[-1][0] or said[-1][1]) if said else ""
    if _FULL.search(text):
        return FullError(f"Slurm takes no more jobs now: {why or text.strip()}")
    if not why or _OUT_OF_REACH.search(why):
        last = text.strip().splitlines()[-1] if text.strip() else f"sbatch ended with status {status}"
        return UnclearError(f"Slurm gave no clear answer: {last}")
    return UserError(
        f"Slurm refused the job: {why}",
        next_step="Mend hydra.launcher.* in your command, and type it again with the same hydra.sweep.dir.",
    )


def ask(*command: str) -> str:
    """Return what a command of Slurm prints; SchedulerError when it fails, is missing, or is silent for too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=PATIENCE)
    except FileNotFoundError:
        raise SchedulerError(
            f"Slurm's command {command[0]} is not on this machine's PATH.",
            next_step="Log in to a node of the cluster, and type the same command again.",
        ) from None
    except subprocess.TimeoutExpired:
        raise _silent(f"{command[0]} gave no answer within {PATIENCE:.0f} s") from None
    if done.returncode:
        raise _silent(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{command[0]} failed")
    return done.stdout


def environment() -> dict[str, str]:
    """Return the environment for a Slurm command: what an enclosing job set for itself must not leak into the next."""
    kept = ("SLURM_CONF",)
    return {
        k: v for k, v in os.environ.items() if k in kept or not k.startswith(("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_"))
    }


def _task(line: str) -> Task:
    user, job, index, name, state, reason = line.split("|", maxsplit=5)
    return Task(user, job, int(index) if index.isdigit() else 0, name, state, reason)


def _silent(reason: str) -> SchedulerError:
    return SchedulerError(
        f"Slurm is out of reach: {reason}", next_step="Nothing is lost. Type the same command again later."
    )
