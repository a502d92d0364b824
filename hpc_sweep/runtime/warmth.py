"""What workers import, imported once by the supervisor that forks them: the next one then starts in milliseconds.

::

    the first worker                      imports by itself: what an import may do, it does to a process that may die
    once a trial has trained an epoch     all of it is known to work here; before its next fork the supervisor imports
    every worker after that               is forked with all of it

A supervisor that imports computes nothing. It has no context of a GPU and no pool of threads that a fork would break;
those that numpy's library starts when it is imported with several, it ends by itself before a fork.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpc_sweep.training import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Warm = Callable[[], None]


def nothing() -> None:
    """Import nothing: each worker does so by itself, as those of a foreign app, which may compute meanwhile."""


class Warmth:
    """Whether this process has what its workers need."""

    def __init__(self, warm: Warm, threads: int) -> None:
        self._warm, self._threads = warm, threads
        self._known_to_work, self._done = False, False

    def take(self, message: Mapping[str, Any]) -> None:
        """Take in one message of a worker."""
        self._known_to_work |= message["event"] == "progress"

    def forgo(self) -> None:
        """Import nothing here: it has failed in an earlier attempt, and workers that import by themselves get on."""
        self._done = True

    def bring(self) -> None:
        """Import what the next worker needs, unless that is done or not known to work.

        Any exception may come of it, though a worker had none. What is half imported cannot be mended: from a process
        in which this has failed nothing should be forked.
        """
        if self._known_to_work and not self._done:
            self._done = True
            os.environ.update(environment.worker(self._threads))  # before any numerical library is imported
            self._warm()
