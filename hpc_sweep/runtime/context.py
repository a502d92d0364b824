"""What a trial sees of the sweep while it trains; a task asks for it with `current()`."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, SupportsFloat

from hpc_sweep.trial import Context, Quiet, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hpc_sweep.runtime.pace import Pace
    from hpc_sweep.runtime.stop import Flag

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
    """The context of a trial whose supervisor is told what happens, and may ask it to stop.

    Parameters
    ----------
    tell
        Called with the kind of event, ``progress`` or ``saved``, and its fields.
    threads, checkpoints
        What the trial may use: CPU threads, and a folder for checkpoints.
    stop
        Raised when the machine is about to be taken away.
    pace
        When checkpoints are due; trials that train together have one.
    """

    def __init__(
        self,
        tell: Callable[..., None],
        threads: int,
        checkpoints: Path | None,
        stop: Flag,
        pace: Pace,
    ) -> None:
        self._tell, self._threads, self._checkpoints, self._stop = tell, threads, checkpoints, stop
        self._pace = pace

    @property
    def threads(self) -> int:
        """How many CPU threads the trial may use."""
        return self._threads

    @property
    def checkpoint_dir(self) -> Path | None:
        """Where checkpoints belong, or None when the trial is too short to need one."""
        return self._checkpoints

    @property
    def stop_requested(self) -> bool:
        """Whether the machine is about to be taken away: save what is worth it and raise `StoppedError`."""
        return bool(self._stop.signal)

    def report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Tell the metrics of one finished epoch, counted from 1; what is no finite number is left out."""
        numbers = {name: float(value) for name, value in metrics.items() if isinstance(value, SupportsFloat)}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        self._tell("progress", epoch=int(epoch), metrics=finite)

    def keep(self, epoch: int, save: Callable[[], None]) -> None:
        """Save when a checkpoint is due, and at once, as the last thing, when the trial is to stop."""
        stopping = self.stop_requested
        if self._pace.due(self) or stopping:
            begun = time.monotonic()
            save()
            spent = self._pace.spent(time.monotonic() - begun)
            self._tell("saved", epoch=epoch, seconds=round(spent, 3))
        if stopping:
            raise StoppedError
