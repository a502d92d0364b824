"""Mixup: each item of a batch is mixed with another of it, inputs and losses alike (Zhang and others, 2018)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from hpc_sweep.errors import UserError
from hpc_sweep.training import streams

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 64


def share(key: int, alpha: float) -> float:
    """Return the part that an item keeps of itself: one draw of Beta(alpha, alpha), 1 for an alpha of 0."""
    if alpha == 0:
        return 1.0
    # Jöhnk's rejection in logarithms, for u ** (1 / alpha) underflows where alpha is small.
    while True:
        draws = (1 - streams.uniform(torch.tensor(key), _AT_ONCE, 2).double()).log() / alpha
        total = torch.logaddexp(draws[:, 0], draws[:, 1])
        accepted = (total <= 0).nonzero()
        if len(accepted):
            first = int(accepted[0])
            return math.exp(draws[first, 0] - total[first])
        key = int(streams.mix(torch.tensor(key)))


def partners(key: int, count: int, device: torch.device) -> Tensor:
    """Return which item (count,) each item is mixed with."""
    return streams.permutation(key, count).to(device)


def mixed(x: Tensor, others: Tensor, kept: float) -> Tensor:
    """Return each item mixed with its partner; UserError for items that are no real numbers."""
    if not x.is_floating_point():
        what = f"Mixup adds parts of items, and items of type {x.dtype} have none."
        raise UserError(what, where="Key: mixup", next_step="Type mixup=0")
    return x if kept == 1 else kept * x + (1 - kept) * x[others]
