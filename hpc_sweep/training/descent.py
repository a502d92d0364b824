"""What is done to gradients between the backward pass and the optimizer, for ``K`` trials at once.

Every tensor here has the trials on its first axis; one trial alone is K = 1. A trial's numbers depend on its own row
only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from hpc_sweep.training.task import Recipe

_SMALL = 1e-6
"""What torch's own clipping adds to a norm."""


class Descent:
    """Adds the L2 penalty's gradient and clips, as the recipe of each of ``K`` trials says."""

    def __init__(self, recipes: Sequence[Recipe], like: Tensor) -> None:
        self._explicit = _row([0.0 if recipe.l2_in_optimizer else 2 * recipe.l2 for recipe in recipes], like)
        self._limit = _row([recipe.clip_norm for recipe in recipes], like)
        self._adds = any(recipe.l2 and not recipe.l2_in_optimizer for recipe in recipes)
        self._clips = any(recipe.clip_norm < math.inf for recipe in recipes)

    @property
    def corrects(self) -> bool:
        """Whether `correct` has anything to do."""
        return self._adds or self._clips

    @torch.no_grad()
    def correct(self, grads: Sequence[Tensor], params: Sequence[Tensor]) -> None:
        """Change gradients (K, ...) of parameters (K, ...) in place."""
        if self._adds:
            for grad, param in zip(grads, params, strict=True):
                if param.ndim > 2:  # noqa: PLR2004 because the first axis is the trials'
                    grad.addcmul_(param, _over(self._explicit, param))
        if self._clips:
            norms = torch.stack([torch.linalg.vector_norm(grad.flatten(1), dim=1) for grad in grads])
            factor = (self._limit / (torch.linalg.vector_norm(norms, dim=0) + _SMALL)).clamp(max=1.0)
            for grad in grads:
                grad.mul_(_over(factor, grad))


@torch.no_grad()
def penalty(params: Iterable[Tensor], l2: float) -> Tensor:
    """Return the L2 penalty of the parameters (...) of one trial: of those with two axes or more."""
    norms = [torch.linalg.vector_norm(param) for param in params if param.ndim > 1]
    return l2 * torch.stack(norms).square().sum() if norms else torch.tensor(0.0)


def _row(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def _over(row: Tensor, tensor: Tensor) -> Tensor:
    return row.view(-1, *[1] * (tensor.ndim - 1))
