"""The optimizers by name, and the two meanings of L2.

L2 concerns *weights*: parameters with two axes or more, the kernels of convolutions and linear layers. Biases and the
scales and shifts of normalisations have one axis and are left free.

::

    l2_as: penalty        l2 * sum of squares is added to the loss; its gradient 2 * l2 * w goes through the optimizer
    l2_as: weight_decay   torch's argument weight_decay = l2: with Adam and SGD a gradient of l2 * w (so it equals a
                          penalty of l2 / 2), with AdamW a decay of lr * l2 * w beside the gradient
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import optim

from hpc_sweep.errors import UserError
from hpc_sweep.training.losses import l2_penalty

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from omegaconf import DictConfig
    from torch import Tensor
    from torch.optim import Optimizer

Group = dict[str, Any]

PENALTY, WEIGHT_DECAY = "penalty", "weight_decay"


def build(params: Mapping[str, Tensor], cfg: DictConfig) -> Optimizer:
    """Return the optimizer that the ``optimizer`` node of a configuration names, over named parameters.

    Raises UserError for an unknown name or ``l2_as``, and for a learning rate or L2 that cannot be meant.
    """
    _check(cfg)
    decay = cfg.l2 if cfg.l2_as == WEIGHT_DECAY else 0.0
    held = weights(params)
    groups: list[Group] = [
        {"params": list(held.values()), "weight_decay": decay},
        {"params": [value for name, value in params.items() if name not in held], "weight_decay": 0.0},
    ]
    return _BUILDERS[cfg.name]([group for group in groups if group["params"]], cfg)


def penalty(params: Mapping[str, Tensor], cfg: DictConfig) -> Tensor | None:
    """Return the L2 penalty of named parameters, or None where L2 is weight decay or off."""
    if cfg.l2_as != PENALTY or cfg.l2 == 0:
        return None
    return l2_penalty(weights(params).values(), cfg.l2)


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


def _check(cfg: DictConfig) -> None:
    if cfg.name not in _BUILDERS:
        options = ", ".join(f"optimizer={name}" for name in _BUILDERS)
        raise UserError(f"'{cfg.name}' is no optimizer.", where="Key: optimizer.name", next_step=f"Type {options}.")
    if cfg.l2_as not in (PENALTY, WEIGHT_DECAY):
        options = f"optimizer.l2_as={PENALTY} or optimizer.l2_as={WEIGHT_DECAY}"
        raise UserError(f"L2 cannot act as '{cfg.l2_as}'.", where="Key: optimizer.l2_as", next_step=f"Type {options}.")
    if not 0 < cfg.lr < math.inf:
        raise UserError(
            f"A learning rate is a positive number, and {cfg.lr} is not.",
            where="Key: optimizer.lr",
            next_step="Type for example optimizer.lr=0.001",
        )
    if not 0 <= cfg.l2 < math.inf:
        raise UserError(
            f"L2 is zero or a positive number, and {cfg.l2} is not.",
            where="Key: optimizer.l2",
            next_step="Type for example optimizer.l2=0.0001",
        )
