"""When the trials of a worker keep checkpoints: those that train together do so after the same epoch, all of them."""

from __future__ import annotations

import time

SAVE_SECONDS = 30.0
"""How old the last checkpoint becomes; a trial that is shorter saves nothing."""

SAVE_SHARE = 0.05
"""The largest share of the time that goes into checkpoints."""


class Pace:
    """Decides once for a round: until one of the trials asks again, each that asks gets the same answer.

    ``save_seconds`` is how old the last checkpoint becomes before the next is due; 0 saves after every epoch.
    """

    def __init__(self, save_seconds: float = SAVE_SECONDS) -> None:
        self._save_seconds, self._saved = save_seconds, time.monotonic()
        self._asked: set[object] = set()
        self._due, self._cost, self._spent = False, 0.0, 0.0

    def begin(self) -> None:
        """Count from now on: nothing is in progress that could have a checkpoint."""
        self._asked.clear()
        self._saved = time.monotonic()

    def due(self, trial: object) -> bool:
        """Tell whether a trial that has finished an epoch keeps a checkpoint of it."""
        if trial in self._asked or not self._asked:
            self._asked.clear()
            self._cost, self._spent = (self._spent or self._cost), 0.0
            self._due = time.monotonic() - self._saved >= self._interval()
        self._asked.add(trial)
        return self._due

    def spent(self, seconds: float) -> float:
        """Take in what one checkpoint cost; return what those of this round cost up to now."""
        self._spent += seconds
        self._saved = time.monotonic()
        return self._spent

    def _interval(self) -> float:
        return max(self._save_seconds, self._cost / SAVE_SHARE) if self._save_seconds else 0.0
