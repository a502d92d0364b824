"""The moving parts of one trial: what a checkpoint holds, and what training goes on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import torch

from hpc_sweep.training import dropout, streams
from hpc_sweep.training.streams import Purpose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omegaconf import DictConfig
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from hpc_sweep.training.task import Task

_CPU = torch.device("cpu")


@dataclass
class State:
    """A model and its optimizer after ``epoch`` epochs, with the metrics of each and the details of the last.

    In a stack the tensors are rows of the stack's; what is captured has nothing of the neighbours.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    epoch: int = 0
    curves: dict[str, list[float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fresh(cls, task: Task, cfg: DictConfig, device: torch.device) -> Self:
        """Return the state before the first epoch; weights are drawn on the CPU, so every device starts alike."""
        streams.seed_global(_CPU, streams.key(cfg.seed, Purpose.INITIALISATION))
        model = dropout.install(task.model(cfg)).to(device)
        optimizer = task.optimizer(dict(model.named_parameters()), cfg)
        return cls(model, optimizer, task.scheduler(optimizer, cfg))

    @property
    def params(self) -> dict[str, Tensor]:
        """The named parameters."""
        return dict(self.model.named_parameters())

    def finish_epoch(self, metrics: Mapping[str, float], details: Mapping[str, Any]) -> None:
        """Count one more epoch, with what was measured in it."""
        if self.scheduler is not None:
            self.scheduler.step()
        self.epoch += 1
        self.details = dict(details)
        for name, value in metrics.items():
            self.curves.setdefault(name, []).append(value)

    def capture(self) -> dict[str, Any]:
        """Return a copy of everything that training goes on from, as tensors and plain values."""
        captured: dict[str, Any] = _copied(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
                "epoch": self.epoch,
                "curves": self.curves,
                "details": self.details,
            }
        )
        return captured

    def restore(self, captured: Mapping[str, Any]) -> None:
        """Become the state that was captured of a trial of the same configuration."""
        captured = _copied(captured)
        self.model.load_state_dict(captured["model"])
        self.optimizer.load_state_dict(captured["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(captured["scheduler"])
        self.epoch, self.curves, self.details = captured["epoch"], captured["curves"], captured["details"]


def _copied(value: Any) -> Any:  # noqa: ANN401 because a state is any tree
    """Copy a tree; a row of a larger tensor becomes a tensor of its own, or a checkpoint would hold the larger."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone(memory_format=torch.preserve_format)
    if isinstance(value, dict):
        return type(value)((key, _copied(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
