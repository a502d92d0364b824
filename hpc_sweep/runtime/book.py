"""The records of one attempt: a finished trial is fsynced at once, and published by interval."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.ledger import read_shard
from hpc_sweep.runtime.claim import superseded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep import paths

SHORTEST, LONGEST, SHARE = 2.0, 60.0, 0.01


class SupersededError(Exception):
    """A newer attempt owns the shard; this one must stop and publish nothing more."""


def interval(age: float) -> float:
    """Return how many seconds lie between two publications of an attempt that is `age` seconds old."""
    return min(max(SHORTEST, SHARE * age), LONGEST)


class Book:
    """Writes what one attempt of a shard finds out; the only appender of the shard's log."""

    def __init__(self, sweep: paths.Sweep, sweep_id: str, shard: int, attempt: paths.Attempt) -> None:
        self._sweep, self._id, self._shard, self._attempt = sweep, sweep_id, shard, attempt
        self._name = f"{shard:04d}/{attempt.number}"
        self._results = os.open(attempt.results, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._progress = attempt.progress.open("a", encoding="utf-8", buffering=1)
        self._waiting: list[Mapping[str, Any]] = []
        self._begun = self._published = time.monotonic()
        self.completed, self.failed = 0, 0

    def settled(self) -> set[str]:
        """Publish what predecessors finished, and return the ids of all trials that have an outcome."""
        state = read_shard(self._sweep, self._id, self._shard, problems=[])
        known = state.results.keys() | state.failures.keys()
        for attempt in self._sweep.attempts(self._shard)[:-1]:
            unpublished = (line for line in records.read_lines(attempt.results) if line["trial"] not in known)
            self._waiting += [line for line in unpublished if line["outcome"] is not None]
        outcomes = state.results.keys() | {line["trial"] for line in self._waiting}
        self.publish()
        return set(outcomes)

    def progress(self, line: Mapping[str, Any]) -> None:
        """Note that a trial has begun or finished an epoch."""
        self._progress.write(records.canonical(line) + "\n")

    def finished(self, trial: str, fields: Mapping[str, Any]) -> None:
        """Record how a trial ended: durable when this returns, published now or soon."""
        line = {"trial": trial, "attempt": self._name, **fields}
        records.write_line(self._results, line)
        self._waiting.append(line)
        self.completed += fields["outcome"] is not None
        self.failed += fields["outcome"] is None
        if self.due() <= 0:
            self.publish()

    def due(self) -> float:
        """Return the seconds until the next publication."""
        now = time.monotonic()
        return self._published + interval(now - self._begun) - now

    def publish(self) -> None:
        """Append what waits to the shard's log; SupersededError when the shard is no longer ours."""
        if superseded(self._sweep, self._shard, self._attempt):
            raise SupersededError
        if self._waiting:
            self._append(records.Kind.RESULT, {"results": self._waiting})
            self._waiting = []
        self._published = time.monotonic()

    def close(self) -> None:
        """Publish the rest and the attempt's last entry, its end."""
        self.publish()
        counts = {"completed": self.completed, "failed": self.failed}
        self._append(records.Kind.END, {"attempt": self._attempt.number, "counts": counts})

    def release(self) -> None:
        """Let go of the attempt's files, whether or not it came to its end."""
        os.close(self._results)
        self._progress.close()

    def _append(self, kind: records.Kind, body: Mapping[str, Any]) -> None:
        records.append(self._sweep.shard(self._shard), kind, body, sweep=self._id, attempt=self._name)
