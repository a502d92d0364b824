"""What training minimises: cross-entropy with class weights and smoothed labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy(
    logits: Tensor, y: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Return the mean cross-entropy in nats of logits (B, C); with weights (C,), the mean weighted by item.

    ``label_smoothing`` is the part of each label that is spread evenly over all classes.
    """
    return functional.cross_entropy(logits, y, weight=class_weights, label_smoothing=label_smoothing)


def balanced_weights(y: Tensor, classes: int) -> Tensor:
    """Return the weights (C,) that let each class count the same: ``n / (C n_c)``, and 0 for a class without items."""
    counts = torch.bincount(y, minlength=classes)
    weights = len(y) / (classes * counts.double())
    return torch.where(counts > 0, weights, 0.0).float()
