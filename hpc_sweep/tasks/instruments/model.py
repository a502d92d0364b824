"""The convolutional network: four blocks that halve the picture, a global mean, dropout, one linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from hpc_sweep.errors import UserError
from hpc_sweep.training.bounds import DROPOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig
    from torch import Tensor


class Cnn(nn.Module):
    """Pictures (B, 1, rows, columns) to logits (B, classes); a block is convolution 3x3, BatchNorm, ReLU, MaxPool."""

    def __init__(self, channels: Sequence[int], dropout: float, classes: int) -> None:
        super().__init__()
        pairs = zip([1, *channels], channels, strict=False)
        self.blocks = nn.Sequential(*(_block(before, after) for before, after in pairs))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels[-1], classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.dropout(self.blocks(pictures).mean((-2, -1))))
        return logits


def build(cfg: DictConfig, size: int, classes: int) -> Cnn:
    """Return the network of the ``model`` node of a configuration, for pictures of ``size`` rows and columns.

    Its weights lie channels last, in which a CPU convolves in two thirds of the time. Raises UserError for a dropout
    that is no probability below one, and for pictures that the blocks would halve to nothing.
    """
    DROPOUT.require("model.dropout", cfg.dropout)
    smallest = 2 ** len(cfg.channels)
    if size < smallest:
        raise UserError(
            f"{len(cfg.channels)} blocks halve a picture of {size} x {size} to nothing.",
            where="Keys: data.size, model.channels",
            next_step=f"Type data.size={smallest} or more",
        )
    network = Cnn(cfg.channels, cfg.dropout, classes)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
    return network


def _block(before: int, after: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2))
