"""The models that the benchmarks train, and a task around any of them.

A head takes flat embeddings: two linear layers with BatchNorm, ReLU and dropout between. A CNN takes pictures: blocks
of convolution, BatchNorm, ReLU and MaxPool, a global mean, and a head of 512. Trials differ in dropout, learning rate
and L2, as those of task11 do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from omegaconf import OmegaConf
from torch import nn

from hpc_sweep.training import losses, optimizers
from hpc_sweep.training.metrics import Classified
from hpc_sweep.training.task import Data, Recipe, Split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omegaconf import DictConfig
    from torch import Tensor
    from torch.optim import Optimizer

CLASSES = 11


@dataclass(frozen=True)
class Workload:
    """A model by its widths, the shape of one input, and the batch."""

    widths: tuple[int, ...]
    shape: tuple[int, ...]
    batch: int


WORKLOADS = {
    "head 64": Workload((64,), (64,), 32),
    "head 128": Workload((128,), (128,), 32),
    "head 512": Workload((512,), (512,), 32),
    "cnn tiny 32x32": Workload((8, 16, 32), (1, 32, 32), 16),
    "cnn small 64x64": Workload((16, 32, 64, 64), (1, 64, 64), 16),
    "cnn medium 64x64": Workload((32, 64, 128, 256), (1, 64, 64), 16),
    "cnn small 224x224": Workload((16, 32, 64, 64), (1, 224, 224), 4),
}

GPU_WORKLOADS = {
    "head 512": Workload((512,), (512,), 32),
    "cnn small 64x64": Workload((16, 32, 64, 64), (1, 64, 64), 32),
    "resnet18 224x224": Workload((18,), (1, 224, 224), 32),
    "cnn medium 224x224": Workload((32, 64, 128, 256), (1, 224, 224), 32),
    "cnn medium 224x224 B128": Workload((32, 64, 128, 256), (1, 224, 224), 128),
}


class Basic(nn.Module):
    """The block of ResNet-18."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        shortcut = (nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Sequential(*shortcut) if stride != 1 or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return what the block adds to its input."""
        return torch.relu(self.body(x) + self.shortcut(x))


def model(workload: Workload, dropout: float) -> nn.Module:
    """Return a freshly initialised model."""
    if len(workload.shape) == 1:
        (width,), (features,) = workload.widths, workload.shape
        return nn.Sequential(
            nn.Linear(features, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, CLASSES)
        )
    if workload.widths == (18,):
        return _resnet18(dropout)
    blocks: list[nn.Module] = []
    for before, after in zip((1, *workload.widths), workload.widths, strict=False):
        blocks += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(workload.widths[-1], 512), nn.ReLU())
    return nn.Sequential(*blocks, *head, nn.Dropout(dropout), nn.Linear(512, CLASSES))


def _resnet18(dropout: float) -> nn.Module:
    stem = (nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
    blocks = [
        Basic(before, after, stride)
        for before, after, first in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
        for before, stride in ((before, first), (after, 1))
    ]
    return nn.Sequential(
        *stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(512, CLASSES)
    )


class Bench:
    """Random items of a workload; a `hpc_sweep.training.task.Task`."""

    value_keys = ("dropout", "optimizer.lr", "optimizer.l2")
    inputs_read = ()
    loss_read = ()

    def __init__(self, workload: Workload, items: int) -> None:
        self._workload, self._items = workload, items

    def data(self, cfg: DictConfig, device: torch.device) -> Data:
        """Return random items on the device; an eighth of them validates."""
        del cfg
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(self._items) % CLASSES
        x = torch.randn(self._items, *self._workload.shape, generator=generator)
        x, y = x.to(device), y.to(device)
        split = self._items // 8
        return Data(Split(x[split:], y[split:]), Split(x[:split], y[:split]), tuple(map(str, range(CLASSES))), "0" * 64)

    def model(self, cfg: DictConfig) -> nn.Module:
        """Return the workload's model."""
        built = model(self._workload, cfg.dropout)
        if len(self._workload.shape) > 1:
            built.to(memory_format=torch.channels_last)
        return built

    def inputs(self, x: Tensor, cfg: DictConfig, key: Tensor | None = None) -> Tensor:
        """Take the items as they are, channels last."""
        del cfg, key
        return x if x.ndim < 4 else x.contiguous(memory_format=torch.channels_last)  # noqa: PLR2004 because pictures have four axes

    def loss(self, out: Tensor, y: Tensor, cfg: DictConfig, data: Data) -> Tensor:
        """Return the cross-entropy."""
        del cfg, data
        return losses.cross_entropy(out, y)

    def recipe(self, cfg: DictConfig) -> Recipe:
        """Return the penalty."""
        return replace(optimizers.recipe(cfg.optimizer), bfloat16=cfg.bfloat16)

    def optimizer(self, params: Mapping[str, Tensor], cfg: DictConfig) -> Optimizer:
        """Return fused Adam."""
        return optimizers.build(params, cfg.optimizer)

    def scheduler(self, optimizer: Optimizer, cfg: DictConfig) -> None:
        """Keep the rate."""
        del optimizer, cfg

    def tally(self, out: Tensor, y: Tensor, cfg: DictConfig) -> Classified:
        """Count as a classifier."""
        del cfg
        return Classified.of(out, y)


def configurations(workload: Workload, trials: int, *, bfloat16: bool = False) -> list[DictConfig]:
    """Return configurations that differ as task11's do."""
    return [
        OmegaConf.create(
            {
                "seed": 1,
                "epochs": 1,
                "batch_size": workload.batch,
                "bfloat16": bfloat16,
                "dropout": 0.3 + 0.1 * (k % 3),
                "optimizer": {
                    "name": "adam",
                    "lr": 0.001 / (1 + k % 9 // 3),
                    "betas": [0.9, 0.999],
                    "l2": 0.001 if k % 2 else 0.0001,
                    "l2_as": "penalty",
                    "clip_norm": None,
                },
            }
        )
        for k in range(trials)
    ]
