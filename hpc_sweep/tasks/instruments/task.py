"""The instruments as a task: pictures on the device, the network, weighted cross-entropy, and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from omegaconf import OmegaConf

from hpc_sweep.records import canonical, parse
from hpc_sweep.tasks.instruments.data import open_data, open_split
from hpc_sweep.tasks.instruments.irmas import CLASSES
from hpc_sweep.tasks.instruments.model import build
from hpc_sweep.training import losses, optimizers
from hpc_sweep.training.augment import augment
from hpc_sweep.training.device import choose
from hpc_sweep.training.loop import fit
from hpc_sweep.training.metrics import Classified
from hpc_sweep.training.task import Data, Split

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from omegaconf import DictConfig
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from hpc_sweep.tasks.instruments.features import FeatureSet
    from hpc_sweep.trial import Context, Result


@dataclass(frozen=True)
class _Loaded:
    """The data on a device, with the balanced class weights (classes,) of the training part."""

    data: Data
    class_weights: Tensor


class Instruments:
    """Which of eleven instruments leads a clip; a `hpc_sweep.training.task.Task`."""

    def data(self, cfg: DictConfig, device: torch.device) -> Data:
        """Return the pictures (N, 1, size, size) as uint8, in the order of the feature file."""
        return _load(cfg, device).data

    def model(self, cfg: DictConfig) -> nn.Module:
        """Return a freshly initialised network."""
        return build(cfg.model, cfg.data.size, len(CLASSES))

    def inputs(self, x: Tensor, cfg: DictConfig, key: Tensor | None = None) -> Tensor:
        """Scale grey values 0 to 255 to -2 to 2, the same for every data set, then augment."""
        pictures = (x.float() / 255 - 0.5) * 4
        if key is not None:
            pictures = augment(pictures, cfg.augment, key)
        return pictures.contiguous(memory_format=torch.channels_last)

    def loss(self, out: Tensor, y: Tensor, cfg: DictConfig) -> Tensor:
        """Return the cross-entropy, each class counting the same when ``class_weighting`` is on."""
        return losses.cross_entropy(out, y, _load(cfg, out.device).class_weights if cfg.class_weighting else None)

    def penalty(self, params: Mapping[str, Tensor], cfg: DictConfig) -> Tensor | None:
        """Return the L2 penalty, or None where L2 acts as weight decay."""
        return optimizers.penalty(params, cfg.optimizer)

    def optimizer(self, params: Mapping[str, Tensor], cfg: DictConfig) -> Optimizer:
        """Return the optimizer that the configuration names."""
        return optimizers.build(params, cfg.optimizer)

    def scheduler(self, optimizer: Optimizer, cfg: DictConfig) -> None:
        """Keep the learning rate constant."""
        del optimizer, cfg

    def tally(self, out: Tensor, y: Tensor, cfg: DictConfig) -> Classified:
        """Count recognitions and cross-entropy."""
        del cfg
        return Classified.of(out, y)


def train(cfg: DictConfig, context: Context) -> Result:
    """Train one trial on the device that the configuration names."""
    return fit(Instruments(), cfg, context, choose(cfg.device))


def _load(cfg: DictConfig, device: torch.device) -> _Loaded:
    return _load_once(canonical(OmegaConf.to_container(cfg.data, resolve=True)), device)


@lru_cache(maxsize=2)
def _load_once(cfg_data: str, device: torch.device) -> _Loaded:
    """Load the data for the JSON of the ``data`` node; the trials of a process nearly always agree in it."""
    asked = parse(cfg_data)
    features = open_data(asked)
    train, val = (_split(features, items, device) for items in open_split(asked, features))
    weights = losses.balanced_weights(train.y, len(features.classes))
    return _Loaded(Data(train, val, features.classes, features.fingerprint), weights)


def _split(features: FeatureSet, items: NDArray[np.int64], device: torch.device) -> Split:
    x = torch.from_numpy(features.pictures[items]).unsqueeze(1)
    y = torch.from_numpy(features.labels[items]).long()
    return Split(x.to(device), y.to(device))
