"""A trial that somebody watches: a bar on a terminal, one line for each epoch in a log file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

SHOWN = ("train/cross_entropy", "val/cross_entropy", "val/accuracy", "val/macro_f1")


class Console:
    """The context of a trial in the foreground; use it with ``with``."""

    def __init__(
        self,
        epochs: int,
        *,
        threads: int = 1,
        checkpoint_dir: Path | None = None,
        after_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        self._after_epoch = after_epoch
        self._epochs, self._threads, self._checkpoint_dir = epochs, threads, checkpoint_dir
        terminal = Terminal(stderr=True)
        columns = (
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=terminal, disable=not terminal.is_terminal)
        self._task = self._bar.add_task("", total=epochs)

    @property
    def threads(self) -> int:
        """How many CPU threads the trial may use."""
        return self._threads

    @property
    def checkpoint_dir(self) -> Path | None:
        """Where checkpoints belong, or None when the trial is too short to need one."""
        return self._checkpoint_dir

    @property
    def stop_requested(self) -> bool:
        """Nobody asks a trial in the foreground to stop: it is interrupted."""
        return False

    def keep(self, epoch: int, save: Callable[[], None]) -> None:
        """Save after every epoch, unless the run is not this process's any more."""
        del epoch
        self._after_epoch()
        save()

    def report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Show one finished epoch."""
        shown = "  ".join(f"{name} {metrics[name]:.4f}" for name in SHOWN if name in metrics)
        self._bar.update(self._task, completed=epoch, description=shown)
        if self._bar.disable:
            print(f"epoch {epoch}/{self._epochs}  {shown}", file=sys.stderr, flush=True)  # noqa: T201 because a log is read

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
