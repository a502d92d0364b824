"""A worker as its supervisor sees it: a forked process, what it tells and is answered, and how long it was silent."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Self

from hpc_sweep.records import parse
from hpc_sweep.runtime.worker import work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from hpc_sweep.runtime.worker import Load, Station
    from hpc_sweep.trial import Trial

STACKS_SECONDS = 5.0
"""How long a worker may take to write its stacks before it is killed."""


class WorkerEndedError(Exception):
    """The worker has told all that it will ever tell."""


class Worker:
    """One worker process; use it with ``with``: it does not outlive the block."""

    def __init__(
        self, trials: Sequence[Trial], load: Load, station: Station, choices: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        fork = multiprocessing.get_context("fork")
        self._channel, theirs = fork.Pipe()
        self._process = fork.Process(target=work, args=(theirs, trials, load, station, choices))
        self._process.start()
        theirs.close()

    @property
    def exitcode(self) -> int | None:
        """How the process ended, as in `multiprocessing`: negative for a signal."""
        return self._process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.join()
        self._channel.close()

    def listen(self, wakeup: int, seconds: float) -> dict[str, Any] | None:
        """Wait for what the worker tells next; None when time is up or the `wakeup` descriptor became readable.

        Raises WorkerEndedError. The worker's end is asked of the kernel as well, because its own children may hold
        the channel open.
        """
        ready = wait([self._channel, self._process.sentinel, wakeup], timeout=max(seconds, 0.0))
        if self._channel in ready:
            try:
                message: dict[str, Any] = parse(self._channel.recv_bytes().decode("utf-8", "surrogatepass"))
            except (EOFError, ConnectionResetError):
                raise WorkerEndedError from None
            return message
        if self._process.sentinel in ready:
            raise WorkerEndedError
        return None

    def answer(self) -> None:
        """Let a worker go on that waits until what it told was published."""
        with contextlib.suppress(OSError):  # it has died since
            self._channel.send_bytes(b"published")

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def end_with_stacks(self) -> None:
        """End a process that hangs, after it has written the stacks of all its threads into the log."""
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, signal.SIGABRT)
            self._process.join(STACKS_SECONDS)
        self._process.kill()


class Silence:
    """How long nothing was heard, counted only while this process itself runs: suspended, it would hear nothing."""

    STEP = 1.0
    """How often to look, in seconds; what goes beyond twice this between two looks was spent suspended."""

    def __init__(self, limit: float | None) -> None:
        self.limit = math.inf if limit is None else limit
        self._seconds, self._looked = 0.0, time.monotonic()

    @property
    def step(self) -> float:
        """How many seconds may pass until the next look."""
        return math.inf if self.limit == math.inf else min(self.STEP, self.limit / 2)

    @property
    def too_long(self) -> bool:
        """Whether it was silent for longer than the limit."""
        return self._seconds > self.limit

    def look(self, *, heard: bool) -> None:
        """Count the time since the last look, or begin anew."""
        now = time.monotonic()
        self._seconds = 0.0 if heard else self._seconds + min(now - self._looked, 2 * self.STEP)
        self._looked = now
