"""The process that trains: one trial after the other, telling its supervisor what happens.

Messages are one JSON object each, with the trial's id: ``start``, ``progress``, ``saved``, ``done``, ``stopped``.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import SweepError
from hpc_sweep.records import canonical, parse
from hpc_sweep.runtime.checkpoints import adopt
from hpc_sweep.runtime.context import SAVE_SECONDS, Watched, entered
from hpc_sweep.runtime.failures import NEEDS_FRESH_PROCESS, Failure, of_exception
from hpc_sweep.runtime.stop import leave_to_supervisor
from hpc_sweep.trial import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.runtime.stop import Flag
    from hpc_sweep.trial import Context, Result, Trial

    Train = Callable[[Trial, Context], Result]
    Load = Callable[[], Train]

LARGEST_RESULT = 8 * 2**20
"""How many bytes of JSON one result may have: a log's entries are read whole."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Station:
    """Where a worker works: its attempt, the ones before it, and the flag that asks it to stop."""

    attempt: paths.Attempt
    earlier: Sequence[paths.Attempt]
    stop: Flag
    threads: int
    save_seconds: float = SAVE_SECONDS


def work(channel: Connection, trials: Sequence[Trial], load: Load, station: Station) -> None:
    """Train the trials, in order, until one asks for a fresh process; this is the whole life of a worker process."""
    leave_to_supervisor()
    _die_with_supervisor()
    _speak_into(station.attempt.log)
    _limit_threads(station.threads)
    train = _loaded(load)
    for trial in trials:
        if station.stop.signal:
            return
        _tell(channel, "start", trial)
        print(f"--- trial {trial.number} ({trial.id[:12]}): {' '.join(trial.overrides)}", flush=True)  # noqa: T201 because this is the trial's log
        try:
            fields = _run(channel, trial, train, station)
        except StoppedError:
            _tell(channel, "stopped", trial)
            return
        _tell(channel, "done", trial, result=fields)
        if (fields["error"] or {}).get("reason") in NEEDS_FRESH_PROCESS:
            return


def recorded(result: Result) -> dict[str, Any]:
    """Return the fields of a result as they are recorded; TypeError or ValueError when they are no JSON."""
    fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
    text = canonical(fields)
    if len(text) > LARGEST_RESULT:
        raise ValueError(f"the result has {len(text) >> 20} MiB of JSON, and {LARGEST_RESULT >> 20} MiB are recorded")
    parse(f"[[[[{text}]]]]")  # as deep as it will lie in an entry
    return fields


def _run(channel: Connection, trial: Trial, train: Train, station: Station) -> dict[str, Any]:
    """Train one trial and return what is recorded of it: its result, or a failure as ``error``."""
    begun = time.monotonic()
    adopt(station.attempt, station.earlier, trial.id)
    context = Watched(
        lambda event, **more: _tell(channel, event, trial, **more),
        station.threads,
        station.attempt.checkpoints(trial.id),
        station.stop,
        station.save_seconds,
    )
    try:
        with entered(context):
            fields = {**recorded(train(trial, context)), "error": None}
    except StoppedError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 because a failing trial ends only itself
        fields = {"outcome": None, "metrics": {}, "error": vars(_told(error))}
    seconds = round(time.monotonic() - begun, 3)
    return {**fields, "seconds": seconds, "threads": station.threads, "host": socket.gethostname()}


def _told(error: BaseException) -> Failure:
    """Write into the log what a trial raised, and judge it."""
    if isinstance(error, SweepError):
        print(error, file=sys.stderr, flush=True)  # noqa: T201 because this is the trial's log
    elif not isinstance(error, SystemExit):
        traceback.print_exc()
    return of_exception(error)


def _loaded(load: Load) -> Train:
    """Import and build what trains; when that fails, every trial fails with the same reason."""
    try:
        return load()
    except Exception as error:  # noqa: BLE001 because the reason belongs to each trial of the shard
        traceback.print_exc()
        reason = error

    def fail(trial: Trial, context: Context) -> Result:
        del trial, context
        raise reason

    return fail


def _tell(channel: Connection, event: str, trial: Trial, **more: object) -> None:
    channel.send_bytes(canonical({"event": event, "trial": trial.id, **more}).encode("utf-8", "surrogatepass"))


def _die_with_supervisor() -> None:
    """Ask the kernel for a SIGKILL when the supervisor ends, so that no orphan trains on."""
    supervisor = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _speak_into(log: Path) -> None:
    """Send everything that a trial prints, from any library, to the attempt's log, and its stacks when it crashes."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # The objects may have been put in the place of the real ones by whoever started the supervisor.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115 because they stay open
    faulthandler.enable(file=2)
    # SIGABRT is how the supervisor asks for the stacks; a core file of gigabytes was not asked for.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _limit_threads(threads: int) -> None:
    """Set before any numerical library is imported, because most read it once."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
