"""What an attempt got done, and in what time: counted from what its workers told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORK = ("start", "stack")
"""The first of these ends a worker's start: it has imported everything and has its data in reach."""


class Throughput:
    """Epochs of trials, seconds from when a worker was needed until it began to train, and from there to its end."""

    def __init__(self) -> None:
        self._epochs, self._workers = 0, 0
        self._starting, self._training = 0.0, 0.0
        self._begun, self._working = 0.0, False

    def worker_awaited(self) -> None:
        """Count from now on, as starting: what is imported for the next worker, then the worker's own start."""
        self._begun, self._working = time.monotonic(), False

    def worker_begins(self) -> None:
        """Count one more worker."""
        self._workers += 1

    def take(self, message: Mapping[str, Any]) -> None:
        """Take in one message of the worker."""
        if message["event"] in _WORK and not self._working:
            self._next()
            self._working = True
        self._epochs += message["event"] == "progress"

    def worker_ends(self) -> None:
        """Count no more until the next begins."""
        self._next()

    def fields(self) -> dict[str, Any]:
        """Return the counters as they are recorded with an attempt's end."""
        rate = round(self._epochs / self._training, 3) if self._training else None
        return {
            "epochs": self._epochs,
            "epochs_per_second": rate,
            "starting_seconds": round(self._starting, 3),
            "training_seconds": round(self._training, 3),
            "workers": self._workers,
        }

    def _next(self) -> None:
        now = time.monotonic()
        if self._working:
            self._training += now - self._begun
        else:
            self._starting += now - self._begun
        self._begun = now
