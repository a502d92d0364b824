"""The instruments as a task: pictures on the device, the network, weighted cross-entropy, and how it is judged."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.records import canonical, parse
from hpc_sweep.tasks.instruments.data import open_data, open_split
from hpc_sweep.tasks.instruments.irmas import CLASSES
from hpc_sweep.tasks.instruments.model import build
from hpc_sweep.training import losses, optimizers
from hpc_sweep.training.augment import augment
from hpc_sweep.training.capacity import place
from hpc_sweep.training.device import choose
from hpc_sweep.training.listener import Ending
from hpc_sweep.training.loop import Stacking, fit, fit_all
from hpc_sweep.training.metrics import Classified
from hpc_sweep.training.task import Data, Recipe, Split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from omegaconf import DictConfig
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from hpc_sweep.tasks.instruments.features import FeatureSet
    from hpc_sweep.training.listener import Listener
    from hpc_sweep.trial import Context, Result


class Instruments:
    """Which of eleven instruments leads a clip; a `hpc_sweep.training.task.Task`."""

    value_keys = (
        "model.dropout",
        "optimizer.lr",
        "optimizer.l2",
        "optimizer.betas",
        "optimizer.momentum",
        "optimizer.clip_norm",
        "schedule.factor",
        "class_weighting",
        "label_smoothing",
        "augment.frequency_width",
        "augment.time_width",
        "mixup",
        "early_stop",
    )
    inputs_read = ("augment",)
    loss_read = ("class_weighting", "label_smoothing")

    def data(self, cfg: DictConfig, device: torch.device) -> Data:
        """Return the pictures (N, 1, size, size) as uint8, in the order of the feature file.

        Its constants are the balanced class weights (classes,) of the training part.
        """
        return _load_once(canonical(OmegaConf.to_container(cfg.data, resolve=True)), device)

    def model(self, cfg: DictConfig) -> nn.Module:
        """Return a freshly initialised network."""
        return build(cfg.model, cfg.data.size, len(CLASSES))

    def inputs(self, x: Tensor, cfg: DictConfig, key: Tensor | None = None) -> Tensor:
        """Scale grey values 0 to 255 to -2 to 2, the same for every data set, then augment."""
        pictures = (x.float() / 255 - 0.5) * 4
        if key is not None:
            pictures = augment(pictures, cfg.augment, key)
        return pictures.contiguous(memory_format=torch.channels_last)

    def loss(self, out: Tensor, y: Tensor, cfg: DictConfig, data: Data) -> Tensor:
        """Return the cross-entropy, each class counting the same when ``class_weighting`` is on."""
        weights = data.constants["class_weights"] if cfg.class_weighting else None
        return losses.cross_entropy(out, y, weights, cfg.label_smoothing)

    def recipe(self, cfg: DictConfig) -> Recipe:
        """Return penalty, clipping, mixup, precision and patience as the configuration has them."""
        return replace(
            optimizers.recipe(cfg.optimizer),
            mixup=cfg.mixup,
            bfloat16=cfg.precision == "bfloat16",
            patience=cfg.early_stop.patience,
            watch=cfg.early_stop.metric,
            larger_is_better=cfg.early_stop.mode == "max",
        )

    def optimizer(self, params: Mapping[str, Tensor], cfg: DictConfig) -> Optimizer:
        """Return the optimizer that the configuration names."""
        return optimizers.build(params, cfg.optimizer)

    def scheduler(self, optimizer: Optimizer, cfg: DictConfig) -> LRScheduler | None:
        """Return the schedule that the configuration names."""
        return optimizers.schedule(optimizer, cfg.schedule, cfg.epochs)

    def tally(self, out: Tensor, y: Tensor, cfg: DictConfig) -> Classified:
        """Count recognitions and cross-entropy."""
        del cfg
        return Classified.of(out, y)


def warm() -> None:
    """Import what only training imports: this module has the rest."""
    optimizers.import_lazy_parts()


def train(cfg: DictConfig, context: Context) -> Result:
    """Train one trial on the device that the configuration names."""
    return fit(Instruments(), cfg, context, choose(cfg.device))


def train_all(
    trials: Sequence[tuple[DictConfig, Context]],
    listener: Listener,
    stack_size: int | str,
    earlier: Sequence[Mapping[str, Any]],
    ids: Sequence[str] = (),
) -> None:
    """Train trials of one device in stacks; where there is no such device, each of them has failed."""
    try:
        device = choose(trials[0][0].device)
    except UserError as error:
        for index in range(len(trials)):
            listener.ended(Ending(index, None, error, 0.0))
        return
    fit_all(Instruments(), trials, device, listener, Stacking(stack_size, earlier, ids))


@lru_cache(maxsize=2)
def _load_once(cfg_data: str, device: torch.device) -> Data:
    """Load the data for the JSON of the ``data`` node; the trials of a process nearly always agree in it."""
    asked = parse(cfg_data)
    features = open_data(asked)
    train, val = (_split(features, items, device) for items in open_split(asked, features))
    weights = losses.balanced_weights(train.y, len(features.classes))
    return Data(train, val, features.classes, features.fingerprint, {"class_weights": weights})


def _split(features: FeatureSet, items: NDArray[np.int64], device: torch.device) -> Split:
    x = torch.from_numpy(features.pictures[items]).unsqueeze(1)
    y = torch.from_numpy(features.labels[items]).long()
    return Split(place(x, device), y.to(device))
