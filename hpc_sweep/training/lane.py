"""One trial under way: its state, whom it tells, its checkpoints, and when it ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from hpc_sweep.training import environment
from hpc_sweep.training.checkpoint import Checkpoints
from hpc_sweep.training.device import describe
from hpc_sweep.training.state import State
from hpc_sweep.trial import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep.training.epoch import Measured
    from hpc_sweep.training.member import Member
    from hpc_sweep.training.task import Data, Task


class Lane:
    """A member from its first epoch, or the one after its newest checkpoint, to its result.

    ``company`` is the largest stack that it trained an epoch in here: the engine, and how many trials; else None.
    """

    def __init__(self, task: Task, member: Member, data: Data, device: torch.device) -> None:
        self.member, self._task, self._data, self._device = member, task, data, device
        self.seconds, self.slowest_epoch = 0.0, 0.0
        self.company: tuple[str, int] | None = None
        self._note = ""
        folder = member.context.checkpoint_dir
        self._checkpoints = (
            None if folder is None else Checkpoints(folder, member.digest, member.configuration, data.fingerprint)
        )
        self._kept: dict[str, Any] | None = None
        self.state = self._started()

    @property
    def over(self) -> bool:
        """Whether the trial has all the epochs that it will have."""
        return self.state.epoch >= self.member.cfg.epochs or self._patience_ends()

    def finish_epoch(self, measured: Measured, *, keep: bool) -> Outcome | None:
        """Take in what one epoch measured; return how the trial ended, or None while it goes on.

        ``keep`` asks for a copy in memory, for `rewind`.
        """
        metrics = measured.metrics
        if not all(map(math.isfinite, metrics.values())):
            self._note = self._why_diverged(measured.first)
            return Outcome.DIVERGED
        self.state.finish_epoch(metrics, measured.details)
        self.member.context.report(self.state.epoch, metrics)
        if keep:
            self._kept = self.state.capture()
        return Outcome.COMPLETED if self.over else None

    def save(self) -> None:
        """Write a checkpoint when there is a folder and the context finds it worth its time.

        StoppedError comes from the context, after the checkpoint.
        """
        checkpoints, epoch = self._checkpoints, self.state.epoch
        if checkpoints is not None:
            self.member.context.keep(epoch, lambda: checkpoints.save(epoch, self.state.capture()))

    def rewind(self) -> None:
        """Go back to the end of the last epoch, from the copy; else to the newest checkpoint, or to the start."""
        self.state = self._started()
        if self._kept is not None:
            self.state.restore(self._kept)

    def result(self, outcome: Outcome, how: Mapping[str, Any]) -> Result:
        """Return the result; ``how`` says by which engine the trial was trained, and in what company.

        To this it adds ``epoch_seconds``, where an epoch was trained here: the slowest of its stack as a whole.
        """
        state, reached = self.state, outcome is Outcome.COMPLETED
        slowest = {"epoch_seconds": round(self.slowest_epoch, 3)} if self.slowest_epoch else {}
        extras = {
            **state.details,
            "classes": list(self._data.classes),
            "n": {"train": len(self._data.train), "val": len(self._data.val)},
            "data": self._data.fingerprint,
            "threads": torch.get_num_threads(),
            "allocator": environment.keep_heap(),
            "torch": str(torch.__version__),
            "stack": {**how, **slowest},
        }
        metrics = {name: curve[-1] for name, curve in state.curves.items()} if reached else {}
        if reached and state.epoch < self.member.cfg.epochs:
            self._note = f"{self._note}; ".lstrip("; ") + f"stopped after {state.epoch} epochs: {self._patience()}"
        return Result(outcome, metrics, state.curves, extras, state.epoch, describe(self._device), self._note)

    def _started(self) -> State:
        state = State.fresh(self._task, self.member.cfg, self._device)
        loaded = None if self._checkpoints is None else self._checkpoints.load(self._device)
        if loaded is not None:
            state.restore(loaded.state)
            if loaded.unreadable:
                self._note = f"went on from epoch {loaded.epoch}, for {', '.join(loaded.unreadable)} is damaged"
        return state

    def _why_diverged(self, first: float) -> str:
        if self.state.epoch == 0 and not math.isfinite(first):
            return "the loss is not finite before the first step; look for NaN in the inputs, or change the model"
        return f"loss became non-finite at epoch {self.state.epoch + 1}; lower optimizer.lr"

    def _patience_ends(self) -> bool:
        recipe = self.member.recipe
        if recipe.patience is None:
            return False
        curve = self.state.curves.get(recipe.watch, [])
        if not recipe.larger_is_better:
            curve = [-value for value in curve]
        return bool(curve) and len(curve) - 1 - curve.index(max(curve)) >= recipe.patience

    def _patience(self) -> str:
        return f"no better {self.member.recipe.watch} for {self.member.recipe.patience}"
