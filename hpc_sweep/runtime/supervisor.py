"""The process that owns a shard's records. It never touches a tensor; it survives its worker.

A worker that dies is charged to the trial it was in, or counted against its stack, and another worker takes the trials
that are left; of isolated trials each worker takes one. What failed and may be tried again comes last, in a fresh
process. A signal only asks to stop: what is finished is published, the trials in progress keep a checkpoint, and the
shard's next attempt goes on from there.
"""

from __future__ import annotations

import math
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.errors import SweepError
from hpc_sweep.runtime.book import Book, SupersededError
from hpc_sweep.runtime.claim import claim
from hpc_sweep.runtime.failures import RETRIES, Failure, of_death, of_interruptions, of_silence
from hpc_sweep.runtime.pace import SAVE_SECONDS
from hpc_sweep.runtime.process import Silence, Worker, WorkerEndedError
from hpc_sweep.runtime.stacks import Deaths, Life, answerable
from hpc_sweep.runtime.stop import Signals
from hpc_sweep.runtime.throughput import Throughput
from hpc_sweep.runtime.warmth import Warmth, nothing
from hpc_sweep.runtime.worker import Station

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpc_sweep import paths
    from hpc_sweep.runtime.history import History
    from hpc_sweep.runtime.warmth import Warm
    from hpc_sweep.runtime.worker import Load
    from hpc_sweep.trial import Trial

SUPERSEDED = 4
"""The exit status of an attempt that found a newer one."""

STOPPED = 5
"""The exit status of an attempt that was asked to stop; the next one goes on where it stood."""

UNFIT = 6
"""The exit status of an attempt on a node whose GPU failed twice in a row, or whose files do; another should go on."""

GRACE_SECONDS = 25.0
"""How long a trial that was asked to stop may take; Slurm's KillWait is 30 s unless the site says otherwise."""

GRACE_AT_TERMINAL = 5.0
"""The same when a person waits for it."""

BROKEN = 2
"""How many GPU errors in a row make a node unfit; those of trials that were alone count."""


@dataclass(frozen=True)
class Shard:
    """What one array task has to do.

    Parameters
    ----------
    sweep, sweep_id, number, trials
        Which shard of which sweep, and its trials in the order in which they train.
    part, code
        The part of the plan that they are of, by number and digest, and the digest of the code that trains them.
    threads
        CPU threads of a trial.
    retries
        How often a retryable failure of a trial is tried again.
    isolate
        Whether each trial trains in a worker process of its own.
    no_progress_min
        After how many minutes without a word from the worker it is ended; None waits for ever.
    again
        The token of the submission that wants trials that failed for good to be tried again; empty when none does.
    lead_seconds
        How long before its time limit the job is told; trials that are slow to stop have this time and no longer.
    grace_seconds, save_seconds
        How long trials may take to stop when the node is taken away, and how old their last checkpoints become.
    """

    sweep: paths.Sweep
    sweep_id: str
    number: int
    trials: Sequence[Trial]
    part: Mapping[str, Any] | None = None
    code: str = ""
    threads: int = 1
    retries: int = RETRIES
    isolate: bool = False
    no_progress_min: float | None = None
    again: str = ""
    lead_seconds: float = 0.0
    grace_seconds: float = GRACE_SECONDS
    save_seconds: float = SAVE_SECONDS


def supervise(shard: Shard, load: Load, warm: Warm = nothing) -> int:
    """Train what a shard still owes and return its exit status.

    ::

        0   every trial has an outcome        4   a newer attempt owns the shard
        1   a trial failed for good           5   asked to stop; the next attempt goes on
                                              6   the node's GPU or files are broken

    ``load`` is called in the worker and returns what trains the trials. So the supervisor imports nothing heavy, until
    it needs another worker: before that it calls ``warm``, once, which imports what training needs, computing nothing.
    Raises UserError on a node where the sweep cannot be recorded, and SweepError when its records cannot be written:
    nothing is lost, another attempt goes on.
    """
    with Signals() as signals:
        try:
            return _attempt(shard, load, warm, signals)
        except OSError as error:
            raise SweepError(
                f"The shard cannot write its records: {error.strerror}.",
                where=f"File: {error.filename or shard.sweep.shard(shard.number)}",
                next_step=f"Make room there, then type hpc-sweep resume {shard.sweep.root}",
            ) from error


def _attempt(shard: Shard, load: Load, warm: Warm, signals: Signals) -> int:
    records.require(shard.sweep.root)
    attempt = claim(shard.sweep, shard.number, again=shard.again)
    book = Book(shard.sweep, shard.sweep_id, shard.number, attempt, shard.part)
    try:
        return _Supervisor(shard, load, attempt, book, signals, warm).run()
    except SupersededError:
        book.note("superseded")
        return SUPERSEDED
    finally:
        book.release()


def grace(shard: Shard, asked: signal.Signals) -> float:
    """Return how many seconds trials have to stop, by the signal that asked."""
    if asked is signal.SIGUSR2:
        return max(shard.grace_seconds, shard.lead_seconds - GRACE_SECONDS)
    return min(shard.grace_seconds, GRACE_AT_TERMINAL) if asked is signal.SIGINT else shard.grace_seconds


class _Supervisor:
    """One attempt of a shard, from its claim to its exit status."""

    def __init__(  # noqa: PLR0913, PLR0917 because an attempt has all of these
        self, shard: Shard, load: Load, attempt: paths.Attempt, book: Book, signals: Signals, warm: Warm
    ) -> None:
        self._shard, self._load, self._book, self._signals = shard, load, book, signals
        self._warmth = Warmth(warm, shard.threads)
        self._station = Station(attempt, book.earlier, signals.flag, shard.threads, shard.save_seconds, shard.code)
        self._tries: dict[str, int] = {}
        self._deaths = Deaths()
        self._gpu_errors = 0
        self._slowest_save = 0.0
        self._throughput = Throughput()

    def run(self) -> int:
        """Train what is owed and return the exit status."""
        history = self._book.history(again=self._shard.again)
        if history.unfit:
            self._warmth.forgo()
        owed = self._owed(history)
        while owed and self._may_fork():
            self._make_smaller()
            owed = self._attend(owed)
        if not owed:
            self._book.close(self._throughput.fields())
            return 1 if self._book.failed else 0
        self._book.publish()
        return STOPPED if self._signals.flag.signal else UNFIT

    def _owed(self, history: History) -> list[Trial]:
        """Return the trials that may still be tried; give up those that attempt after attempt died in."""
        self._tries, self._deaths = dict(history.tries), history.deaths
        owed = []
        for trial in self._shard.trials:
            if trial.id in history.outcomes:
                continue
            if trial.id in history.refused:
                self._book.failed.add(trial.id)
            elif self._tries.get(trial.id, 0) > self._shard.retries:
                given_up = of_interruptions(history.interruptions.get(trial.id, 0))
                self._book.finished(trial.id, given_up.fields(self._tries[trial.id], self._shard.retries))
            else:
                owed.append(trial)
        return owed

    def _may_fork(self) -> bool:
        """Get ready for another worker; False when that makes no sense: asked to stop, or something is broken here."""
        if self._signals.flag.signal:
            return False
        if self._gpu_errors >= BROKEN:
            self._tell_why(f"the GPU of this node failed {BROKEN} times in a row")
            return False
        self._throughput.worker_awaited()
        try:
            self._warmth.bring()
        except Exception as error:  # noqa: BLE001 because whatever it is, it is no fault of a trial
            text = f"{type(error).__name__}: {error}"
            self._book.note("unfit", text=text)
            self._tell_why(f"what the next worker needs cannot be imported any more on this node: {text}")
            return False
        return not self._signals.flag.signal  # which may have come meanwhile

    def _tell_why(self, reason: str) -> None:
        """Say in the job's log why the attempt ends before its trials do."""
        print(  # noqa: T201 because this is the job's log
            f"This attempt ends, because {reason}",
            f"No trial is charged. Another attempt goes on: hpc-sweep resume {self._shard.sweep.root}",
            sep="\n",
            file=sys.stderr,
            flush=True,
        )

    def _make_smaller(self) -> None:
        """Publish smaller choices for stacks that have died too often."""
        order = [trial.id for trial in self._shard.trials]
        for choice in self._deaths.smaller(self._book.choices, order):
            self._book.choose(choice.record())

    def _attend(self, owed: list[Trial]) -> list[Trial]:
        """Let one worker train until it is done or dead; return the trials that are left, the retries last."""
        left = {trial.id: trial for trial in owed}
        again: list[Trial] = []
        life, broken = Life(), None
        silence = Silence(self._shard.no_progress_min and 60 * self._shard.no_progress_min)
        self._throughput.worker_begins()
        mine = owed[:1] if self._shard.isolate else owed
        with Worker(mine, self._load, self._station, self._book.choices) as worker:
            for message in self._messages(worker, silence):
                life.take(message)
                self._warmth.take(message)
                match message["event"]:
                    case "done":
                        trial = left.pop(message["trial"])
                        again += [trial] if self._done(trial, message["result"]) else []
                    case "choice":
                        self._book.choose(message["choice"])
                        worker.answer()
                    case "broken":
                        broken = Failure(**message["error"])
                    case _:
                        self._note(message)
        self._throughput.worker_ends()
        if left and not self._signals.flag.signal:
            death = of_silence(silence.limit) if silence.too_long else broken or of_death(worker.exitcode)
            again += [trial for trial in self._charged(life, left, death) if self._died(trial, death)]
        return [*left.values(), *again]

    def _charged(self, life: Life, left: dict[str, Trial], death: Failure) -> list[Trial]:
        """Take out the trial that has to answer for the death of a worker; a stack is only counted, and noted."""
        died = answerable(life, list(left))
        if len(died) > 1:
            died = self._counted(died, life, death)
        return [left.pop(trial) for trial in died]

    def _counted(self, died: tuple[str, ...], life: Life, death: Failure) -> tuple[str, ...]:
        """Count the death of a stack; return the trial that is charged where nothing makes the stack smaller.

        It says nothing of the GPU: one of the trials may be to blame, which halving finds before the node is left.
        """
        self._deaths.count(died, got_on=life.got_on)
        charged = died[:1] if self._deaths.stuck(died) else ()
        trials = [trial for trial in died if trial not in charged]
        self._book.note("died", trials=trials, got_on=life.got_on, reason=death.reason, text=death.text)
        return charged

    def _died(self, trial: Trial, death: Failure) -> bool:
        return self._failed(trial, death, {"threads": self._shard.threads})

    def _messages(self, worker: Worker, silence: Silence) -> Iterator[dict[str, Any]]:
        """Yield what the worker tells until it ends; publish in between, pass on a signal, end what hangs."""
        deadline = math.inf
        while True:
            try:
                until = min(self._book.due(), silence.step, deadline - time.monotonic())
                message = worker.listen(self._signals.wakeup, until)
            except WorkerEndedError:
                return
            self._signals.drain()
            silence.look(heard=message is not None)
            if message is not None:
                yield message
            if self._signals.flag.signal and deadline == math.inf:
                deadline = self._begin_to_stop()
            if silence.too_long:
                return worker.end_with_stacks()
            if time.monotonic() > deadline:
                return worker.kill()
            if self._book.due() <= 0:
                self._book.publish()

    def _begin_to_stop(self) -> float:
        """Publish what is finished, and return when the trials in progress will have had their time."""
        asked = signal.Signals(self._signals.flag.signal)
        self._book.note("stopping", signal=asked.name)
        self._book.publish()
        return time.monotonic() + max(grace(self._shard, asked), 2 * self._slowest_save)

    def _note(self, message: Mapping[str, Any]) -> None:
        self._throughput.take(message)
        if message["event"] == "saved":  # with the seconds of all that were saved together
            self._slowest_save = max(self._slowest_save, message["seconds"])
        self._book.progress(message)

    def _done(self, trial: Trial, fields: Mapping[str, Any]) -> bool:
        """Record what a worker told of a trial that ended; return whether it is to be tried again."""
        if fields["outcome"] is None:
            return self._failed(trial, Failure(**fields["error"]), fields)
        self._gpu_errors = 0
        self._book.finished(trial.id, fields)
        return False

    def _failed(self, trial: Trial, failure: Failure, fields: Mapping[str, Any]) -> bool:
        """Record one more try without an outcome; return whether there is another."""
        self._tries[trial.id] = self._tries.get(trial.id, 0) + 1
        self._gpu_errors = self._gpu_errors + 1 if failure.reason == "cuda" else 0
        note = failure.fields(self._tries[trial.id], self._shard.retries)
        self._book.finished(trial.id, {**fields, **note})
        retried: bool = note["error"]["retryable"]
        return retried
