"""Who owns a shard: the attempt with the highest number, made exclusively on disk.

Slurm's job id and restart count are notes here and no tokens: a restarted controller can run one id twice.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_sweep import records

if TYPE_CHECKING:
    from hpc_sweep import paths

_SLURM_NOTES = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "SLURMD_NODENAME")


def claim(sweep: paths.Sweep, shard: int, *, again: str = "") -> paths.Attempt:
    """Make the next attempt of a shard; from now on every older one is superseded.

    ``again`` is the token of a submission by which a person wants failures to be tried again, with all their tries.
    """
    sweep.shard(shard).mkdir(parents=True, exist_ok=True, mode=0o700)
    attempt = sweep.attempt(shard, _highest(sweep, shard) + 1)
    while True:
        try:
            attempt.root.mkdir(mode=0o700)
            break
        except FileExistsError:
            attempt = sweep.attempt(shard, attempt.number + 1)
    records.sync_folder(attempt.root.parent)  # so that a power loss does not give its number away twice
    records.publish(attempt.claim, records.canonical({**notes(), "again": again}) + "\n")
    return attempt


def superseded(sweep: paths.Sweep, shard: int, attempt: paths.Attempt) -> bool:
    """Tell whether a newer attempt owns the shard now."""
    return _highest(sweep, shard) > attempt.number


def alive(note: dict[str, Any]) -> bool | None:
    """Tell whether the claiming process still runs; None when that cannot be seen from this machine."""
    if note.get("host") != socket.gethostname() or note.get("boot") != _boot():
        return None
    return bool(_start_time(note["pid"]) == note["pid_start"])


def _highest(sweep: paths.Sweep, shard: int) -> int:
    return max((attempt.number for attempt in sweep.attempts(shard)), default=0)


def notes() -> dict[str, Any]:
    """Return who this process is: where it runs, since when, and in which job."""
    pid = os.getpid()
    slurm = {name: os.environ[name] for name in _SLURM_NOTES if name in os.environ}
    return {
        "schema": records.SCHEMA,
        "host": socket.gethostname(),
        "boot": _boot(),
        "pid": pid,
        "pid_start": _start_time(pid),
        "slurm": slurm,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _start_time(pid: int) -> str | None:
    """Return when a process began, in clock ticks after boot: with the pid it names one process for good."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[19]
    return None if state == "Z" else start
