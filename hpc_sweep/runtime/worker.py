"""The process that trains: one trial after the other, telling its supervisor what happens.

Messages are one JSON object each: ``start``, ``progress`` and ``done``, always with the trial's id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import SweepError
from hpc_sweep.records import canonical
from hpc_sweep.runtime.context import Watched, entered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from hpc_sweep.trial import Context, Result, Trial

    Train = Callable[[Trial, Context], Result]
    Load = Callable[[], Train]

_PR_SET_PDEATHSIG = 1


def work(channel: Connection, trials: Sequence[Trial], load: Load, threads: int, log: Path) -> None:
    """Train every trial, in order; this is the whole life of a worker process."""
    _die_with_supervisor()
    _speak_into(log)
    _limit_threads(threads)
    train = _loaded(load)
    for trial in trials:
        _tell(channel, "start", trial)
        print(f"--- trial {trial.number} ({trial.id[:12]}): {' '.join(trial.overrides)}", flush=True)  # noqa: T201 because this is the trial's log
        _tell(channel, "done", trial, result=_run(channel, trial, train, threads))


def recorded(result: Result) -> dict[str, Any]:
    """Return the fields of a result as they are recorded; TypeError or ValueError when they are no JSON."""
    fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
    canonical(fields)
    return fields


def failure(reason: str, text: str) -> dict[str, Any]:
    """Return the note of a trial that failed: no outcome, and why."""
    return {"outcome": None, "metrics": {}, "error": {"reason": reason, "text": text}}


def _run(channel: Connection, trial: Trial, train: Train, threads: int) -> dict[str, Any]:
    begun = time.monotonic()
    context = Watched(
        lambda epoch, metrics: _tell(channel, "progress", trial, epoch=epoch, metrics=metrics), threads, None
    )
    try:
        with entered(context):
            fields = {**recorded(train(trial, context)), "error": None}
    except SweepError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201 because this is the trial's log
        fields = failure("refused", str(error))
    except SystemExit as error:
        fields = failure("exit", f"the task ended its process with status {error.code}")
    except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
        traceback.print_exc()
        fields = failure("exception", "".join(traceback.format_exception_only(error)).strip())
    return {**fields, "seconds": round(time.monotonic() - begun, 3), "threads": threads, "host": socket.gethostname()}


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
    """Send everything that a trial prints, from any library, to the attempt's log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # The objects may have been put in the place of the real ones by whoever started the supervisor.
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115 because they stay open


def _limit_threads(threads: int) -> None:
    """Set before any numerical library is imported, because most read it once."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
