"""The cluster's processes: which are ours, and how they end.

A process is ours by what ``/proc`` says about it now; a pid file may be older than the process that it names::

    slurmctld, slurmd, mariadbd   our configuration file is among its arguments
    slurmdbd                      its SLURM_CONF is ours (it has no such argument)
    slurmstepd, slurmscriptd      it holds a file of our folder open (both overwrite arguments and environment)
    processes of jobs             SLURM_CONF is ours and SLURM_JOB_ID is set
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from errors import DevclusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RETITLED = ("slurmstepd:", "slurmctld: slurmscriptd")
POLL_SECONDS = 0.05
CONFIRM_SECONDS = 1.0


@dataclass(frozen=True)
class Process:
    """A live process; ``name`` is the daemon's (``slurmctld``, ``gpu1``, ``mariadbd``), or ``job``."""

    pid: int
    name: str


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll until the condition holds; return False when ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def daemons(directory: Path) -> list[Process]:
    """Return the cluster's live daemons."""
    return [Process(pid, name) for pid in _pids() if (name := _daemon_name(pid, directory))]


def named(directory: Path, name: str) -> list[Process]:
    """Return the live processes of one daemon."""
    return [process for process in daemons(directory) if process.name == name]


def is_gone(directory: Path, name: str) -> bool:
    """Return whether a daemon is dead; one that is just forking itself into the background is out of sight briefly."""
    return not wait_until(lambda: bool(named(directory, name)), CONFIRM_SECONDS)


def job_processes(directory: Path) -> list[Process]:
    """Return the daemons' live helpers and the processes of jobs, but not ourselves and our parents."""
    spared = set(_lineage(os.getpid()))
    return [Process(pid, "job") for pid in _pids() if pid not in spared and _of_a_job(pid, directory)]


def end(list_own: Callable[[], list[Process]], seconds: float, *, gently: bool = True) -> None:
    """End what ``list_own`` returns, and wait until it returns nothing.

    ``gently`` asks first, and kills what is left after ``seconds``.

    Raises
    ------
    DevclusterError
        If a process survives, or is another user's.
    """
    for number in (signal.SIGTERM if gently else signal.SIGKILL, signal.SIGKILL):
        for process in list_own():
            _signal(process.pid, number)
        if wait_until(lambda: not list_own(), seconds):
            return
    names = ", ".join(f"{process.name} ({process.pid})" for process in list_own())
    raise DevclusterError(f"These processes do not end: {names}.")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise DevclusterError(f"Process {pid} belongs to another user; end the cluster as that user.") from error


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _read(pid: int, name: str) -> list[str]:
    """Return a NUL-separated file of a process; empty for zombies and for processes that we may not read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _daemon_name(pid: int, directory: Path) -> str | None:
    argv = _read(pid, "cmdline") or [""]
    conf = f"{directory}/slurm.conf"
    match Path(argv[0]).name:
        case "slurmctld" | "mariadbd" as program if {conf, f"--defaults-file={directory}/mariadb.cnf"} & set(argv):
            return program
        case "slurmd" if conf in argv and "-N" in argv:
            return argv[argv.index("-N") + 1]
        case "slurmdbd" if f"SLURM_CONF={conf}" in _read(pid, "environ"):
            return "slurmdbd"
    return None


def _of_a_job(pid: int, directory: Path) -> bool:
    if any(word.startswith(RETITLED) for word in _read(pid, "cmdline")[:1]):
        return any(path.startswith(f"{directory}/") for path in _open_files(pid))
    environ = _read(pid, "environ")
    in_job = any(word.startswith("SLURM_JOB_ID=") for word in environ)
    return in_job and f"SLURM_CONF={directory}/slurm.conf" in environ


def _open_files(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield str(link.readlink())


def _lineage(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
