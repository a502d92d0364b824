"""The records of one attempt: a finished trial is fsynced at once, and published by interval.

A line is published only by somebody who has read all that the log says before it; so no line is ever there twice,
however many attempts of a shard live at once.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.ledger import extend, read_shard
from hpc_sweep.records.patience import NETWORK_SECONDS, pauses
from hpc_sweep.runtime import checkpoints
from hpc_sweep.runtime.claim import superseded
from hpc_sweep.runtime.history import Past, read_past, recall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep import paths
    from hpc_sweep.ledger import ShardState
    from hpc_sweep.runtime.history import History

SHORTEST, LONGEST, SHARE = 2.0, 60.0, 0.01

LARGEST_ENTRY = 32 * 2**20
"""From how many bytes of lines on an entry is closed and another one begun."""


class SupersededError(Exception):
    """A newer attempt owns the shard; this one must stop and publish nothing more."""


def interval(age: float) -> float:
    """Return how many seconds lie between two publications of an attempt that is `age` seconds old."""
    return min(max(SHORTEST, SHARE * age), LONGEST)


class Book:
    """Writes what one attempt of a shard finds out; the only appender of the shard's log."""

    def __init__(
        self,
        sweep: paths.Sweep,
        sweep_id: str,
        shard: int,
        attempt: paths.Attempt,
        part: Mapping[str, Any] | None = None,
    ) -> None:
        self._sweep, self._id, self._shard, self._attempt, self._part = sweep, sweep_id, shard, attempt, part
        self._name = f"{shard:04d}/{attempt.number}"
        self.earlier = [other for other in sweep.attempts(shard) if other.number < attempt.number]
        self._state = read_shard(sweep, sweep_id, shard)
        self._results = os.open(attempt.results, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._progress = attempt.progress.open("a", encoding="utf-8", buffering=1)
        self._waiting: list[Mapping[str, Any]] = []
        self._begun = self._published = time.monotonic()
        self._completed: set[str] = set()
        self.failed: set[str] = set()

    @property
    def choices(self) -> Sequence[Mapping[str, Any]]:
        """The records of all choices of the shard, in the order of its log."""
        return self._state.choices

    def history(self, *, again: str = "") -> History:
        """Publish what predecessors finished, and return all that is known of this shard."""
        history = recall(self._state, [*read_past(self.earlier), Past(again=again)])
        self._waiting += history.unpublished
        self.publish()
        checkpoints.remove(self.earlier, history.outcomes)
        return history

    def note(self, event: str, **more: object) -> None:
        """Note something about the attempt itself, as far as the disk allows."""
        self.progress({"event": event, **more})

    def progress(self, line: Mapping[str, Any]) -> None:
        """Note that a trial has begun or finished an epoch; a full disk loses the note and nothing else."""
        try:
            self._progress.write(records.canonical(line) + "\n")
        except OSError:
            return

    def finished(self, trial: str, fields: Mapping[str, Any]) -> None:
        """Record how a try ended: durable when this returns, published now or soon."""
        line = {"trial": trial, "attempt": self._name, **fields}
        records.write_line(self._results, line)
        self._waiting.append(line)
        if fields["outcome"] is not None:
            self._completed.add(trial)
            self.failed.discard(trial)
        else:
            self.failed.add(trial)
        if self.due() <= 0:
            self.publish()

    def choose(self, choice: Mapping[str, Any]) -> None:
        """Publish how a stack will train; SupersededError when the shard is no longer ours."""
        self._check_ownership()
        while not self._append(records.Kind.CHOICE, {"choice": choice}):
            continue

    def due(self) -> float:
        """Return the seconds until the next publication."""
        now = time.monotonic()
        return self._published + interval(now - self._begun) - now

    def publish(self) -> None:
        """Append what waits to the shard's log; SupersededError when the shard is no longer ours."""
        self._check_ownership()
        while self._waiting:
            lines = _head(self._waiting)
            if self._append(records.Kind.RESULT, {"results": lines}):
                self._waiting = self._waiting[len(lines) :]
                self._forget_checkpoints(lines)
        self._published = time.monotonic()

    def close(self, throughput: Mapping[str, Any] | None = None) -> None:
        """Publish the rest and the attempt's last entry: its end, with what it got done in what time."""
        self.publish()
        counts = {"completed": len(self._completed), "failed": len(self.failed)}
        body = {"attempt": self._attempt.number, "counts": counts, "throughput": throughput or {}}
        while not self._append(records.Kind.END, body):
            continue

    def release(self) -> None:
        """Let go of the attempt's files, whether or not it came to its end."""
        os.close(self._results)
        self._progress.close()

    def _check_ownership(self) -> None:
        if superseded(self._sweep, self._shard, self._attempt):
            raise SupersededError

    def _append(self, kind: records.Kind, body: Mapping[str, Any]) -> bool:
        """Append right behind what was read; else read on, drop what others published for us, and return False."""
        log, number = self._sweep.shard(self._shard), self._state.last + 1
        if records.append(log, kind, body, sweep=self._id, attempt=self._name, part=self._part, at=number):
            extend(self._state, log, self._id)
            return True
        self._read_up_to(number)
        self._check_ownership()
        self._waiting = [line for line in self._waiting if not _known(self._state, line)]
        return False

    def _read_up_to(self, number: int) -> None:
        """Read what stands under a number; OSError when it is there, for it was refused to us, and never to be seen."""
        log = self._sweep.shard(self._shard)
        extend(self._state, log, self._id)
        waits = pauses(log, NETWORK_SECONDS)
        while self._state.last < number:
            if next(waits, None) is None:
                raise OSError(errno.ESTALE, "an entry that is there cannot be seen", str(log / f"{number:06d}.json"))
            extend(self._state, log, self._id)

    def _forget_checkpoints(self, lines: Sequence[Mapping[str, Any]]) -> None:
        ended = [line["trial"] for line in lines if line["outcome"] is not None]
        checkpoints.remove([*self.earlier, self._attempt], ended)


def _head(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the first lines, at least one, that fit into one entry."""
    head, size = [lines[0]], len(records.canonical(lines[0]))
    for line in lines[1:]:
        size += len(records.canonical(line))
        if size > LARGEST_ENTRY:
            break
        head.append(line)
    return head


def _known(state: ShardState, line: Mapping[str, Any]) -> bool:
    """Tell whether the log has this very line: the outcome of this trial in this attempt."""
    published = [state.results.get(line["trial"]), state.failures.get(line["trial"]), *state.late]
    return any(other is not None and _same(other, line) for other in published)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return records.canonical(one) == records.canonical(other)
