"""What a task gives to the trainer: ordinary PyTorch for one trial.

``N`` items, ``B`` items of a batch, ``C`` classes. A configuration is a resolved, read-only ``DictConfig``; of it the
trainer itself reads ``seed``, ``epochs``, ``batch_size`` and ``identity.exclude``. A task keeps no state between calls
but the cache of its data, so that the trials of one process may share it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from omegaconf import DictConfig
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True)
class Split:
    """The items of one part of the data: ``x`` (N, ...) as stored, ``y`` (N, ...)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Data:
    """What a trial trains and is judged on; ``fingerprint`` is a digest of the content that it was made from.

    ``constants`` are what a loss needs of the data, by name, on the device: class weights, say.
    """

    train: Split
    val: Split
    classes: tuple[str, ...]
    fingerprint: str
    constants: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """What the trainer does of its own accord, beside what the task's functions do; each has a value that is off.

    Parameters
    ----------
    l2
        The penalty: ``l2`` times the sum of squares of the parameters with two axes or more. Off: 0.
    l2_in_optimizer
        Whether the task's optimizer descends the penalty already, so that the trainer only reports it.
    clip_norm
        The longest gradient, over all parameters of the trial, the penalty's included. Off: infinity.
    mixup
        The alpha of the Beta distribution by which each batch is mixed with itself. Off: 0.
    bfloat16
        Whether forward passes run in autocast to bfloat16.
    patience
        After how many epochs without a better ``watch`` the trial ends. Off: None.
    watch, larger_is_better
        The metric that patience looks at, and which way it should go.
    """

    l2: float = 0.0
    l2_in_optimizer: bool = False
    clip_norm: float = math.inf
    mixup: float = 0.0
    bfloat16: bool = False
    patience: int | None = None
    watch: str = "val/cross_entropy"
    larger_is_better: bool = False


class Tally(Protocol):
    """What is counted of a model's outputs; tallies of batches add up to the tally of an epoch, on the device."""

    def __add__(self, other: Self) -> Self:
        """Return the tally of both batches, this one's items first."""

    def metrics(self) -> dict[str, float]:
        """Return the metrics that both splits report, by name without the split."""

    def by_class(self, classes: tuple[str, ...]) -> dict[str, float]:
        """Return further metrics, one for each class, reported of the validation items."""

    def details(self) -> dict[str, Any]:
        """Return what is kept of the last epoch's validation items beside the metrics, as JSON."""


class Task(Protocol):
    """One experiment: its data, its model, and how that is trained and judged.

    ``value_keys`` are the keys, dotted, in which the trials of one stack may differ; a key stands for all below it.
    ``inputs_read`` and ``loss_read`` are the top-level keys that `inputs` and `loss` read: no other are in the
    configuration that they get, so trials that agree in them share the work.
    """

    @property
    def value_keys(self) -> tuple[str, ...]:
        """The keys in which the trials of one stack may differ."""

    @property
    def inputs_read(self) -> tuple[str, ...]:
        """The keys that `inputs` reads."""

    @property
    def loss_read(self) -> tuple[str, ...]:
        """The keys that `loss` reads."""

    def data(self, cfg: DictConfig, device: torch.device) -> Data:
        """Return the data on the device; loaded once in a process for each value of the data's part of ``cfg``."""

    def model(self, cfg: DictConfig) -> nn.Module:
        """Return a freshly initialised model on the CPU; random numbers come from the global generator."""

    def inputs(self, x: Tensor, cfg: DictConfig, key: Tensor | None = None) -> Tensor:
        """Turn stored items (B, ...) into what the model takes; augment them when the key () of a step is given.

        All that is drawn comes from the key (`hpc_sweep.training.streams`), so it is the same on every device.
        """

    def loss(self, out: Tensor, y: Tensor, cfg: DictConfig, data: Data) -> Tensor:
        """Return the scalar that training minimises, without any penalty on the weights."""

    def recipe(self, cfg: DictConfig) -> Recipe:
        """Return what the trainer adds: penalty, clipping, mixup, precision, early stop."""

    def optimizer(self, params: Mapping[str, Tensor], cfg: DictConfig) -> Optimizer:
        """Return the optimizer of the named parameters."""

    def scheduler(self, optimizer: Optimizer, cfg: DictConfig) -> LRScheduler | None:
        """Return the schedule of the learning rate, stepped once an epoch, or None for a constant one."""

    def tally(self, out: Tensor, y: Tensor, cfg: DictConfig) -> Tally:
        """Count what the metrics need of some items, without waiting for the device."""
