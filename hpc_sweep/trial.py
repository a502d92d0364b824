"""A trial, how it can end, and what its training hands back.

::

    status of a trial        has an outcome   who may still change it
    completed, diverged,     yes              nobody
    pruned
    failed                   no, a note       the next attempt of its shard, up to `retries`
    planned, running         no               its shard
    lost, held               no               a new submission, a person
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class Outcome(StrEnum):
    """How a trial ended for good."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    PRUNED = "pruned"


class Status(StrEnum):
    """Where a planned trial stands; the counts of all statuses sum to the plan."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    PRUNED = "pruned"
    FAILED = "failed"
    PLANNED = "planned"
    RUNNING = "running"
    LOST = "lost"
    HELD = "held"


@dataclass(frozen=True)
class Trial:
    """One configuration with one replicate: the unit that trains.

    ``id`` is the digest of everything that can change the result; ``number`` is for people, from 1 in product order.
    ``params`` are the swept hyperparameters without the replicate; ``changes`` lead from the part's base to the
    trial's own task configuration (see `hpc_sweep.plan`).
    """

    number: int
    id: str
    overrides: tuple[str, ...]
    params: Mapping[str, Any]
    replicate: Any
    changes: tuple[tuple[tuple[str, ...], Any], ...]
    part: int = 0
    shard: int = 0


@dataclass(frozen=True)
class Result:
    """What the training of one trial hands back, before it is recorded.

    ``metrics`` are the values after the last epoch, ``curves`` one value for each epoch, both by ``split/name`` and
    finite. ``extras`` is any JSON (a confusion matrix, say); ``value`` what a foreign task function returned.
    """

    outcome: Outcome
    metrics: Mapping[str, float]
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0
    device: str = ""
    note: str = ""
    value: Any = None


class StoppedError(Exception):
    """A trial was asked to stop and did; its checkpoint is what its shard's next attempt goes on from."""


class Context(Protocol):
    """What a trial may know and tell while it trains."""

    @property
    def threads(self) -> int:
        """How many CPU threads the trial may use."""

    @property
    def checkpoint_dir(self) -> Path | None:
        """Where checkpoints belong, or None when the trial is too short to need one."""

    @property
    def stop_requested(self) -> bool:
        """Whether the machine is about to be taken away: save what is worth it and raise `StoppedError`."""

    def report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Tell the metrics of one finished epoch, counted from 1."""

    def keep(self, epoch: int, save: Callable[[], None]) -> None:
        """Call `save` if a checkpoint after this epoch is worth its time; raise `StoppedError` when asked to stop."""


@dataclass(frozen=True)
class Quiet:
    """The context of a trial that nobody watches."""

    threads: int = 1
    checkpoint_dir: Path | None = None
    stop_requested: bool = False

    def report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Drop the report."""
        del epoch, metrics

    def keep(self, epoch: int, save: Callable[[], None]) -> None:
        """Save after every epoch."""
        del epoch
        save()
