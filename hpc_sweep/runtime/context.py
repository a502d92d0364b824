"""What a trial sees of the sweep while it trains; a task asks for it with `current()`."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpc_sweep.trial import Context, Quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_current: list[Context] = [Quiet()]


def current() -> Context:
    """Return the context of the trial that runs in this process; outside of a sweep, one that nobody watches.

    >>> from hpc_sweep.runtime.context import current
    >>> current().report(1, {"val/accuracy": 0.5})
    """
    return _current[-1]


@contextmanager
def entered(context: Context) -> Iterator[Context]:
    """Make a context the current one while a trial runs."""
    _current.append(context)
    try:
        yield context
    finally:
        _current.remove(context)


class Watched:
    """The context of a trial whose reports are told to a supervisor."""

    def __init__(
        self, tell: Callable[[int, Mapping[str, float]], None], threads: int, checkpoints: Path | None
    ) -> None:
        self._tell, self._threads, self._checkpoints = tell, threads, checkpoints

    @property
    def threads(self) -> int:
        """How many CPU threads the trial may use."""
        return self._threads

    @property
    def checkpoint_dir(self) -> Path | None:
        """Where checkpoints belong, or None when the trial is too short to need one."""
        return self._checkpoints

    def report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Tell the metrics of one finished epoch, counted from 1; what is not finite is left out."""
        self._tell(epoch, {name: float(value) for name, value in metrics.items() if math.isfinite(value)})
