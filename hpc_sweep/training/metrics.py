"""How a classifier is judged: pure functions of its confusion matrix, and the tally that collects one.

``C`` classes; a confusion matrix (..., C, C) has the truth in its rows and the prediction in its columns. Leading
axes are kept, so that the matrices of several trials are judged in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


def confusion(y: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Count each pair of truth and prediction of (N,) items as int64 (C, C), without waiting for the device."""
    counts = torch.zeros(classes * classes, dtype=torch.int64, device=y.device)
    return counts.scatter_add_(0, y * classes + predicted, torch.ones_like(y)).view(classes, classes)


def accuracy(matrix: Tensor) -> Tensor:
    """Return the part of the items that were recognised, (...) in float64."""
    return _diagonal(matrix).sum(-1) / matrix.sum((-2, -1))


def recall(matrix: Tensor) -> Tensor:
    """Return the part of each class's items that were recognised, (..., C); NaN for a class without items."""
    return _diagonal(matrix) / matrix.sum(-1)


def macro_f1(matrix: Tensor) -> Tensor:
    """Return the mean F1 of the classes that occur, as truth or as prediction, (...) in float64."""
    involved = matrix.sum(-1) + matrix.sum(-2)
    f1 = 2 * _diagonal(matrix) / involved.clamp(min=1)
    return f1.sum(-1) / (involved > 0).sum(-1)


@dataclass(frozen=True)
class Classified:
    """The tally of a classifier; ``correct`` is the recognition of each item, in the order of the items.

    Its cross-entropy carries no class weights, whatever the loss does, so that it means the same in every trial and
    on either split.
    """

    cross_entropy_sum: Tensor
    confusion: Tensor
    correct: tuple[Tensor, ...]

    @classmethod
    def of(cls, logits: Tensor, y: Tensor) -> Self:
        """Count one batch: logits (B, C), labels (B,)."""
        predicted = logits.argmax(-1)
        cross_entropy_sum = functional.cross_entropy(logits, y, reduction="sum").double()
        return cls(cross_entropy_sum, confusion(y, predicted, logits.shape[-1]), (predicted == y,))

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.cross_entropy_sum + other.cross_entropy_sum,
            self.confusion + other.confusion,
            self.correct + other.correct,
        )

    def metrics(self) -> dict[str, float]:
        """Return mean cross-entropy in nats, accuracy and macro F1."""
        matrix = self.confusion
        values = [self.cross_entropy_sum / matrix.sum(), accuracy(matrix), macro_f1(matrix)]
        return dict(zip(("cross_entropy", "accuracy", "macro_f1"), torch.stack(values).tolist(), strict=True))

    def by_class(self, classes: tuple[str, ...]) -> dict[str, float]:
        """Return the recall of each class that has items."""
        values = zip(classes, recall(self.confusion).tolist(), self.confusion.sum(-1).tolist(), strict=True)
        return {f"recall_{name}": value for name, value, items in values if items}

    def details(self) -> dict[str, Any]:
        """Return the confusion matrix, and a text with 1 for each recognised item and 0 for each other."""
        recognised = torch.cat(self.correct).tolist()
        return {"confusion": self.confusion.tolist(), "correct": "".join("01"[item] for item in recognised)}


def _diagonal(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).double()
