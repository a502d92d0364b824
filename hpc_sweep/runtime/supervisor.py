"""The process that owns a shard's records. It never touches a tensor; it survives its worker.

A worker that dies is charged to the trial it was in, and another worker takes the trials that are left.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from hpc_sweep.records import parse
from hpc_sweep.runtime.book import Book, SupersededError
from hpc_sweep.runtime.claim import claim
from hpc_sweep.runtime.worker import failure, work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from hpc_sweep import paths
    from hpc_sweep.runtime.worker import Load
    from hpc_sweep.trial import Trial

SUPERSEDED = 4
"""The exit status of an attempt that found a newer one."""


@dataclass(frozen=True)
class Shard:
    """What one array task has to do."""

    sweep: paths.Sweep
    sweep_id: str
    number: int
    trials: Sequence[Trial]
    threads: int = 1


def supervise(shard: Shard, load: Load) -> int:
    """Train what a shard still owes and return its exit status: 0, 1 if a trial failed, 4 if superseded.

    ``load`` is called in the worker and returns what trains one trial; so the supervisor imports nothing heavy.
    """
    attempt = claim(shard.sweep, shard.number)
    book = Book(shard.sweep, shard.sweep_id, shard.number, attempt)
    try:
        settled = book.settled()
        owed = [trial for trial in shard.trials if trial.id not in settled]
        while owed:
            owed = _attend(shard, owed, load, attempt, book)
        book.close()
    except SupersededError:
        return SUPERSEDED
    finally:
        book.release()
    return 1 if book.failed else 0


def _attend(shard: Shard, owed: list[Trial], load: Load, attempt: paths.Attempt, book: Book) -> list[Trial]:
    """Let one worker train until it is done or dead; return the trials that are left."""
    worker, channel = _start(shard, owed, load, attempt)
    left = list(owed)
    try:
        for message in _messages(worker, channel, book):
            if message["event"] == "done":
                book.finished(message["trial"], message["result"])
                left = [trial for trial in left if trial.id != message["trial"]]
            else:
                book.progress(message)
    finally:
        if left:  # it is dead, or we were superseded; the exit code of a dead process stays as it is
            worker.kill()
        worker.join()
    if left:
        book.finished(left[0].id, {**failure(*_death(worker.exitcode)), "threads": shard.threads})
    return left[1:]


def _start(shard: Shard, owed: list[Trial], load: Load, attempt: paths.Attempt) -> tuple[ForkProcess, Connection]:
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    worker = fork.Process(
        target=work, args=(theirs, owed, load, shard.threads, attempt.log), name=f"shard-{shard.number}"
    )
    worker.start()
    theirs.close()
    return worker, ours


def _messages(worker: ForkProcess, channel: Connection, book: Book) -> Iterator[dict[str, Any]]:
    """Yield what the worker tells until it ends; publish in between when it is time.

    The worker's end is asked of the kernel as well, because its own children may hold the channel open.
    """
    while True:
        ready = wait([channel, worker.sentinel], timeout=max(book.due(), 0.0))
        if channel in ready:
            try:
                yield parse(channel.recv_bytes().decode("utf-8", "surrogatepass"))
            except (EOFError, ConnectionResetError):
                return
        elif ready:
            return
        else:
            book.publish()


def _death(exitcode: int | None) -> tuple[str, str]:
    if exitcode is not None and exitcode < 0:
        return f"signal {-exitcode}", f"the worker was ended by signal {-exitcode}"
    return f"exit {exitcode}", f"the worker ended with status {exitcode} in the middle of the trial"
