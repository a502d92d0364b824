"""The optimizers by name, and the two meanings of L2.

L2 concerns *weights*: parameters with two axes or more, the kernels of convolutions and linear layers. Biases and the
scales and shifts of normalisations have one axis and are left free.

::

    l2_as: penalty        l2 * sum of squares is added to the loss; its gradient 2 * l2 * w goes through the optimizer,
                          which adds it itself where that is the same: as a weight_decay of 2 * l2 of Adam and SGD
    l2_as: weight_decay   torch's argument weight_decay = l2: with Adam and SGD a gradient of l2 * w (so it equals a
                          penalty of l2 / 2), with AdamW a decay of lr * l2 * w beside the gradient
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn, optim
from torch.optim import lr_scheduler

from hpc_sweep.errors import UserError
from hpc_sweep.training.bounds import CLIP_NORM, L2, LEARNING_RATE
from hpc_sweep.training.task import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from omegaconf import DictConfig
    from torch import Tensor
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

Group = dict[str, Any]

PENALTY, WEIGHT_DECAY = "penalty", "weight_decay"
SCHEDULES = ("constant", "cosine", "exponential")


def build(params: Mapping[str, Tensor], cfg: DictConfig) -> Optimizer:
    """Return the optimizer that the ``optimizer`` node of a configuration names, over named parameters.

    Raises UserError for an unknown name or ``l2_as``, and for a learning rate or L2 that cannot be meant.
    """
    _check(cfg)
    decay = _decay(cfg)
    held = weights(params)
    groups: list[Group] = [
        {"params": list(held.values()), "weight_decay": decay},
        {"params": [value for name, value in params.items() if name not in held], "weight_decay": 0.0},
    ]
    return _BUILDERS[cfg.name]([group for group in groups if group["params"]], cfg)


def import_lazy_parts() -> None:
    """Make torch import what it only imports for a process's first optimizer, some 800 modules; nothing is computed."""
    optim.SGD([nn.Parameter(torch.zeros(1))])


def recipe(cfg: DictConfig) -> Recipe:
    """Return what the trainer does for the ``optimizer`` node: the penalty where L2 is one, and clipping."""
    l2 = cfg.l2 if cfg.l2_as == PENALTY else 0.0
    return Recipe(l2=l2, l2_in_optimizer=_descends_penalty(cfg), clip_norm=_clip_norm(cfg))


def schedule(optimizer: Optimizer, cfg: DictConfig, epochs: int) -> LRScheduler | None:
    """Return the schedule that the ``schedule`` node names, over so many epochs, or None for a constant rate.

    Raises UserError for an unknown name.
    """
    if cfg.name == "constant":
        return None
    if cfg.name == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=0.0)
    if cfg.name == "exponential":
        return lr_scheduler.ExponentialLR(optimizer, cfg.factor)
    options = ", ".join(f"schedule={name}" for name in SCHEDULES)
    raise UserError(f"'{cfg.name}' is no schedule.", where="Key: schedule.name", next_step=f"Type {options}.")


def weights(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters that L2 concerns: those with two axes or more."""
    return {name: value for name, value in params.items() if value.ndim > 1}


def _adam(groups: list[Group], cfg: DictConfig) -> Optimizer:
    return optim.Adam(groups, lr=cfg.lr, betas=tuple(cfg.betas), fused=True)


def _adamw(groups: list[Group], cfg: DictConfig) -> Optimizer:
    return optim.AdamW(groups, lr=cfg.lr, betas=tuple(cfg.betas), fused=True)


def _sgd(groups: list[Group], cfg: DictConfig) -> Optimizer:
    return optim.SGD(groups, lr=cfg.lr, momentum=cfg.momentum, nesterov=cfg.nesterov, fused=True)


_BUILDERS: dict[str, Callable[[list[Group], DictConfig], Optimizer]] = {"adam": _adam, "adamw": _adamw, "sgd": _sgd}


def _decay(cfg: DictConfig) -> float:
    if cfg.l2_as == WEIGHT_DECAY:
        return float(cfg.l2)
    return 2.0 * cfg.l2 if _descends_penalty(cfg) else 0.0


def _descends_penalty(cfg: DictConfig) -> bool:
    """Tell whether weight decay is the penalty: not with AdamW, and not where the penalty has to be clipped."""
    return cfg.l2_as == PENALTY and cfg.name in ("adam", "sgd") and _clip_norm(cfg) == math.inf


def _clip_norm(cfg: DictConfig) -> float:
    return math.inf if cfg.clip_norm is None else float(cfg.clip_norm)


def _check(cfg: DictConfig) -> None:
    if cfg.name not in _BUILDERS:
        options = ", ".join(f"optimizer={name}" for name in _BUILDERS)
        raise UserError(f"'{cfg.name}' is no optimizer.", where="Key: optimizer.name", next_step=f"Type {options}.")
    if cfg.l2_as not in (PENALTY, WEIGHT_DECAY):
        options = f"optimizer.l2_as={PENALTY} or optimizer.l2_as={WEIGHT_DECAY}"
        raise UserError(f"L2 cannot act as '{cfg.l2_as}'.", where="Key: optimizer.l2_as", next_step=f"Type {options}.")
    LEARNING_RATE.require("optimizer.lr", cfg.lr)
    L2.require("optimizer.l2", cfg.l2)
    CLIP_NORM.require("optimizer.clip_norm", cfg.clip_norm)
