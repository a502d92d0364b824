"""What the engines that compute all members in one forward pass have in common; they differ in that pass alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from hpc_sweep.training.descent import Descent
from hpc_sweep.training.engines.base import Crew, Step, full
from hpc_sweep.training.engines.stacked import Stacked
from hpc_sweep.training.engines.updates import update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from hpc_sweep.training.feed import Batch, Judged


class Forward(Protocol):
    """The forward pass of ``K`` models at once."""

    def __call__(self, x: Tensor, sources: tuple[int, ...], *, training: bool) -> Tensor:
        """Return the outputs (K, B, ...) for the inputs (U, B, ...) of ``U`` sources, one for each member."""

    def tell(self, keys: Tensor) -> None:
        """Give each place that drops its keys, (places, K)."""


class Fused:
    """An engine around a forward pass of all members at once."""

    def __init__(self, name: str, crew: Crew, forward: Callable[[Crew, Stacked], Forward]) -> None:
        self.name, self._crew, self._criterion = name, crew, crew.criterion()
        self._stacked = Stacked(crew.states)
        self._forward = forward(crew, self._stacked)
        self._update = update(self._stacked)
        like = next(iter(self._stacked.params.values()))
        self._descent = Descent([member.recipe for member in crew.members], like)

    def begin(self) -> None:
        """Do nothing: learning rates are read at every step."""

    def step(self, batch: Batch, keys: Tensor, guards: Sequence[int]) -> Step:
        """Take one step of all members; a loss of one has no gradient in another's parameters."""
        del guards  # a model that draws from the global generator is never trained here
        self._forward.tell(keys)
        with self._crew.precision():
            out = self._forward(batch.x, batch.sources, training=True)
        out = full(out)
        losses = self._criterion.all(out, batch)
        losses.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        grads = self._stacked.gradients()
        params = [self._stacked.params[name].detach() for name in grads]
        self._descent.correct(list(grads.values()), params)
        self._update(grads)
        return Step(losses.detach(), out.detach().unbind())

    @torch.no_grad()
    def judge(self, batch: Judged) -> Sequence[Tensor]:
        """Return the outputs of each member."""
        with self._crew.precision():
            return full(self._forward(batch.x, batch.sources, training=False)).unbind()
