"""What training minimises: cross-entropy with class weights, and the L2 penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def cross_entropy(logits: Tensor, y: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy in nats of logits (B, C); with weights (C,), the mean weighted by item."""
    return functional.cross_entropy(logits, y, weight=class_weights)


def balanced_weights(y: Tensor, classes: int) -> Tensor:
    """Return the weights (C,) that let each class count the same: ``n / (C n_c)``, and 0 for a class without items."""
    counts = torch.bincount(y, minlength=classes)
    weights = len(y) / (classes * counts.double())
    return torch.where(counts > 0, weights, 0.0).float()


def l2_penalty(weights: Iterable[Tensor], factor: float) -> Tensor:
    """Return ``factor`` times the sum of the squares of all weights, as Keras counts it: without a half."""
    return factor * torch.stack([weight.square().sum() for weight in weights]).sum()
