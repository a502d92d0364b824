"""Who can be a victim: the processes of one sweep, and the daemons of the cluster that it runs on, and nobody else."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from hpc_sweep.runtime.claim import alive


class NoVictimError(Exception):
    """A fault has nothing to strike right now."""


def supervisors(drill, shard=None) -> list[dict]:
    """Return the claims of the supervisors that live, with shard and attempt in them."""
    found = [{**note, "shard": number, "attempt": attempt} for number, attempt, note in drill.claims()]
    return [note for note in found if alive(note) and shard in {None, note["shard"]}]


def workers(drill, shard=None) -> list[int]:
    """Return the processes that train."""
    by_parent = parents()
    pids = {note["pid"] for note in supervisors(drill, shard)}
    return [pid for pid, parent in by_parent.items() if parent in pids]


def parents() -> dict[int, int]:
    """Return the parent of every process that lives."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry.name)] = int(fields[1])
    return found


def stepds(drill, note) -> list[int]:
    """Return the slurmstepd processes above a supervisor's job: the one of its step and the one of its script."""
    job = note["slurm"]["SLURM_JOB_ID"]
    return [pid for pid, title in titles(drill) if title.startswith(f"slurmstepd: [{job}.")]


def titles(drill) -> list[tuple[int, str]]:
    """Return the slurmstepd processes of the cluster."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and (entry / "comm").read_text().startswith("slurmstepd"):
                title = (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
                files = [str(link.readlink()) for link in (entry / "fd").iterdir()]
                if any(name.startswith(f"{drill.cluster.folder}/") for name in files):
                    found.append((int(entry.name), title))
    return found


def daemon(drill, name) -> int:
    """Return the process of a daemon of the cluster; NoVictimError when it is down."""
    try:
        pid = drill.cluster.pid(name)
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        raise NoVictimError(name) from None
    if str(drill.cluster.conf).encode() not in words:
        raise NoVictimError(name)
    return pid


def send(pid, number=signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def until_gone(pid, seconds=10.0) -> None:
    """Wait until a process is no more."""
    deadline = time.monotonic() + seconds
    while pid in parents():
        assert time.monotonic() < deadline, f"process {pid} does not end"
        time.sleep(0.05)
