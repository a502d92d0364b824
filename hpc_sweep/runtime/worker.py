"""The process that trains: all that it was given, telling its supervisor what happens.

Messages are one JSON object each:

::

    start, progress, saved, done, stopped     of one trial, by its id
    stack                                     these trials are worked on as one from now on
    choice                                    how a stack will train; the worker waits until the supervisor has it
    broken                                    nothing more can be trained in this process, and why
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hpc_sweep.errors import SweepError
from hpc_sweep.records import canonical, parse
from hpc_sweep.runtime.checkpoints import adopt
from hpc_sweep.runtime.context import Watched
from hpc_sweep.runtime.failures import NEEDS_FRESH_PROCESS, Failure, of_exception
from hpc_sweep.runtime.pace import SAVE_SECONDS, Pace
from hpc_sweep.runtime.stop import leave_to_supervisor
from hpc_sweep.training import environment
from hpc_sweep.training.listener import Ending, Listener
from hpc_sweep.trial import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.runtime.stop import Flag
    from hpc_sweep.trial import Context, Result, Trial

LARGEST_RESULT = 8 * 2**20
"""How many bytes of JSON one result may have: a log's entries are read whole."""

_PR_SET_PDEATHSIG = 1


class TrainAll(Protocol):
    """What trains a list of trials: one after the other, or in stacks.

    The listener is told each ending once; ``earlier`` are the records of choices that bind. Raises StoppedError when
    a context asks for it, after checkpoints of all that were training.
    """

    def __call__(
        self, trials: Sequence[tuple[Trial, Context]], listener: Listener, earlier: Sequence[Mapping[str, Any]]
    ) -> None:
        """Train."""


if TYPE_CHECKING:
    Load = Callable[[], TrainAll]


class FreshProcessError(Exception):
    """What is left has to be trained by another process."""


@dataclass(frozen=True)
class Station:
    """Where a worker works: its attempt, the ones before it, the flag that asks it to stop, the digest of its code."""

    attempt: paths.Attempt
    earlier: Sequence[paths.Attempt]
    stop: Flag
    threads: int
    save_seconds: float = SAVE_SECONDS
    code: str = ""


def work(
    channel: Connection, trials: Sequence[Trial], load: Load, station: Station, earlier: Sequence[Mapping[str, Any]]
) -> None:
    """Train the trials until one asks for a fresh process; this is the whole life of a worker process."""
    leave_to_supervisor()
    _die_with_supervisor()
    _speak_into(station.attempt.log)
    os.environ.update(environment.worker(station.threads))  # before any numerical library is imported
    desk = _Desk(channel, trials, station)
    try:
        train_all = _loaded(load)
        train_all([(trial, desk.context(trial)) for trial in trials], desk.listener(), earlier)
    except (StoppedError, FreshProcessError):
        desk.stopped()
    except Exception as error:  # noqa: BLE001 because the supervisor judges what ended a worker
        desk.broken(error)


def recorded(result: Result) -> dict[str, Any]:
    """Return the fields of a result as they are recorded; TypeError or ValueError when they are no JSON."""
    fields = {name: getattr(result, name) for name in result.__dataclass_fields__}
    text = canonical(fields)
    if len(text) > LARGEST_RESULT:
        raise ValueError(f"the result has {len(text) >> 20} MiB of JSON, and {LARGEST_RESULT >> 20} MiB are recorded")
    parse(f"[[[[{text}]]]]")  # as deep as it will lie in an entry
    return fields


class _Desk:
    """Passes on to the supervisor what training tells."""

    def __init__(self, channel: Connection, trials: Sequence[Trial], station: Station) -> None:
        self._channel, self._trials, self._station = channel, trials, station
        self._pace = Pace(station.save_seconds)
        self._together: list[int] = []
        self._headed = -1

    def context(self, trial: Trial) -> Watched:
        """Return what a trial sees of the sweep."""
        station = self._station
        return Watched(
            lambda event, **more: self._tell(event, trial=trial.id, **more),
            station.threads,
            station.attempt.checkpoints(trial.id),
            station.stop,
            self._pace,
        )

    def listener(self) -> Listener:
        """Return whom training tells."""
        return Listener(self._ended, self._begun, self._work_together, self._chosen)

    def stopped(self) -> None:
        """Tell that every trial in progress has stopped; another process goes on with it, and none is to blame."""
        for index in self._together:
            self._tell("stopped", trial=self._trials[index].id)

    def broken(self, error: BaseException) -> None:
        """Tell what ended the process, as far as it can be told."""
        self._tell("broken", error=vars(_told(error)))

    def _begun(self, index: int) -> None:
        trial, station = self._trials[index], self._station
        if not self._together:
            self._pace.begin()
        self._together = [*(one for one in self._together if one != index), index]
        self._tell("start", trial=trial.id)
        self._head(index)
        adopt(station.attempt, station.earlier, trial.id)

    def _work_together(self, indices: Sequence[int]) -> None:
        if list(indices) != self._together:
            self._together = list(indices)
            self._tell("stack", trials=[self._trials[index].id for index in indices])

    def _chosen(self, record: Mapping[str, Any]) -> None:
        """Wait until the supervisor has published how a stack will train."""
        self._tell("choice", choice=dict(record))
        self._channel.recv_bytes()

    def _ended(self, ending: Ending) -> None:
        self._together = [index for index in self._together if index != ending.index]
        note = "" if ending.result is None else ending.result.note
        if ending.error is not None or note:
            self._head(ending.index)
        if note:
            print(note, file=sys.stderr, flush=True)  # noqa: T201 because this is the trial's log
        fields = {
            **_fields(ending),
            "seconds": round(ending.seconds, 3),
            "threads": self._station.threads,
            "host": socket.gethostname(),
            "code": self._station.code,
        }
        self._tell("done", trial=self._trials[ending.index].id, result=fields)
        if (fields["error"] or {}).get("reason") in NEEDS_FRESH_PROCESS:
            raise FreshProcessError

    def _head(self, index: int) -> None:
        """Say in the log of whom the lines below are."""
        if index != self._headed:
            trial, self._headed = self._trials[index], index
            print(f"--- trial {trial.number} ({trial.id[:12]}): {' '.join(trial.overrides)}", flush=True)  # noqa: T201 because this is the trial's log

    def _tell(self, event: str, **more: object) -> None:
        self._channel.send_bytes(canonical({"event": event, **more}).encode("utf-8", "surrogatepass"))


def _fields(ending: Ending) -> dict[str, Any]:
    """Return what is recorded of a trial: its result, or a failure as ``error``."""
    error = ending.error
    if ending.result is not None:
        try:
            return {**recorded(ending.result), "error": None}
        except (TypeError, ValueError) as unrecordable:
            error = unrecordable
    assert error is not None
    return {"outcome": None, "metrics": {}, "error": vars(_told(error))}


def _told(error: BaseException) -> Failure:
    """Write into the log what a trial raised, and judge it."""
    if isinstance(error, SweepError):
        print(error, file=sys.stderr, flush=True)  # noqa: T201 because this is the trial's log
    elif not isinstance(error, SystemExit):
        traceback.print_exception(error)
    return of_exception(error)


def _loaded(load: Load) -> TrainAll:
    """Import and build what trains; when that fails, every trial fails with the same reason."""
    try:
        return load()
    except Exception as error:  # noqa: BLE001 because the reason belongs to each trial of the shard
        reason = error

    def fail(trials: Sequence[tuple[Trial, Context]], listener: Listener, earlier: Sequence[Mapping[str, Any]]) -> None:
        del earlier
        for index in range(len(trials)):
            listener.begun(index)
            listener.ended(Ending(index, None, reason, 0.0))

    return fail


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
