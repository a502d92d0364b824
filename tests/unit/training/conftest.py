"""A small task that trains in milliseconds, and configurations and contexts for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from hpc_sweep.training import losses, optimizers
from hpc_sweep.training.augment import augment
from hpc_sweep.training.metrics import Classified
from hpc_sweep.training.task import Data, Recipe, Split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import Tensor

CLASSES = ("low", "middle", "high")


class Toy:
    """Which third of the rows is bright, in pictures of 6 x 6; a `hpc_sweep.training.task.Task`."""

    value_keys = (
        "model.dropout",
        "optimizer.lr",
        "optimizer.l2",
        "optimizer.betas",
        "optimizer.clip_norm",
        "label_smoothing",
        "mixup",
        "patience",
        "augment.frequency_width",
        "augment.time_width",
    )
    inputs_read = ("augment",)
    loss_read = ("label_smoothing",)

    def data(self, cfg: DictConfig, device: torch.device) -> Data:
        """Make 46 training and 15 validation pictures, always the same."""
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(61) % 3
        x = torch.randn(61, 1, 6, 6, generator=generator)
        x += torch.eye(3)[y].repeat_interleave(2, dim=1)[:, None, :, None]
        x, y = x.to(device), y.to(device)
        return Data(Split(x[:46], y[:46]), Split(x[46:], y[46:]), CLASSES, cfg.data.fingerprint)

    def model(self, cfg: DictConfig) -> nn.Module:
        """Build a network with everything that has a state or draws: BatchNorm and dropout."""
        block = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        return nn.Sequential(block, nn.Dropout(cfg.model.dropout), nn.Linear(4 * 36, 3))

    def inputs(self, x: Tensor, cfg: DictConfig, key: Tensor | None = None) -> Tensor:
        """Augment in training."""
        return x if key is None else augment(x, cfg.augment, key)

    def loss(self, out: Tensor, y: Tensor, cfg: DictConfig, data: Data) -> Tensor:
        """Return the cross-entropy."""
        del data
        return losses.cross_entropy(out, y, label_smoothing=cfg.label_smoothing)

    def recipe(self, cfg: DictConfig) -> Recipe:
        """Return what is configured."""
        return replace(optimizers.recipe(cfg.optimizer), mixup=cfg.mixup, patience=cfg.patience)

    def optimizer(self, params: Mapping[str, Tensor], cfg: DictConfig) -> torch.optim.Optimizer:
        """Build the optimizer that is configured."""
        return optimizers.build(params, cfg.optimizer)

    def scheduler(self, optimizer: torch.optim.Optimizer, cfg: DictConfig) -> torch.optim.lr_scheduler.LRScheduler:
        """Lower the learning rate every epoch, so that a resume that forgets it shows."""
        del cfg
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)

    def tally(self, out: Tensor, y: Tensor, cfg: DictConfig) -> Classified:
        """Count as a classifier."""
        del cfg
        return Classified.of(out, y)


@dataclass
class Recorder:
    """A context that keeps what it is told."""

    checkpoint_dir: Path | None = None
    threads: int = 1
    stop_requested: bool = False
    told: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def report(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch."""
        self.told.append((epoch, dict(metrics)))

    def keep(self, epoch: int, save: Callable[[], None]) -> None:
        """Save after every epoch."""
        del epoch
        save()


@pytest.fixture
def toy() -> Toy:
    """Return the small task."""
    return Toy()


@pytest.fixture
def recorder() -> type[Recorder]:
    """Return the class of the recording context."""
    return Recorder


@pytest.fixture
def config() -> Callable[..., DictConfig]:
    """Return a maker of read-only configurations: defaults, changed by dotted keys."""

    def make(**changes: Any) -> DictConfig:
        cfg = OmegaConf.create(
            {
                "seed": 1,
                "epochs": 4,
                "batch_size": 8,
                "data": {"fingerprint": "d" * 64, "root": "/one"},
                "model": {"dropout": 0.4},
                "augment": {
                    "name": "specaugment",
                    "frequency_masks": 1,
                    "frequency_width": 0.2,
                    "time_masks": 1,
                    "time_width": 0.3,
                },
                "optimizer": {
                    "name": "adam",
                    "lr": 0.01,
                    "betas": [0.9, 0.999],
                    "l2": 0.001,
                    "l2_as": "penalty",
                    "clip_norm": None,
                },
                "label_smoothing": 0.0,
                "mixup": 0.0,
                "patience": None,
                "identity": {"exclude": ["identity", "data.root"]},
            }
        )
        for key, value in changes.items():
            OmegaConf.update(cfg, key.replace("__", "."), value, force_add=True)
        OmegaConf.set_readonly(cfg, value=True)
        return cfg

    return make
