"""The reference engine: one model after the other, untouched, each with its own stock optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hpc_sweep.training import dropout, streams
from hpc_sweep.training.descent import Descent
from hpc_sweep.training.engines.base import Crew, Step, full, modes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hpc_sweep.training.feed import Batch, Judged


class Sequential:
    """Always right, for every model and any K."""

    name = "sequential"

    def __init__(self, crew: Crew) -> None:
        self._crew, self._criterion = crew, crew.criterion()
        self._models = [state.model for state in crew.states]
        self._params = [list(state.params.values()) for state in crew.states]
        self._places = [dropout.places(model) for model in self._models]
        self._descents = [Descent([m.recipe], p[0]) for m, p in zip(crew.members, self._params, strict=True)]

    def begin(self) -> None:
        """Do nothing: stock optimizers read their learning rate at every step."""

    def step(self, batch: Batch, keys: Tensor, guards: Sequence[int]) -> Step:
        """Take one step of each member in turn."""
        modes(self._models, training=True)
        taken = [self._one(k, batch.of(k), keys[:, k], guards[k]) for k in range(len(self._models))]
        return self._gathered(taken)

    @torch.no_grad()
    def judge(self, batch: Judged) -> Sequence[Tensor]:
        """Return the outputs of each member."""
        modes(self._models, training=False)
        with self._crew.precision():
            return [full(model(batch.x[batch.sources[k]])) for k, model in enumerate(self._models)]

    @staticmethod
    def _gathered(taken: Sequence[tuple[Tensor, Tensor | None, Tensor]]) -> Step:
        losses, penalties, outs = zip(*taken, strict=True)
        if all(penalty is None for penalty in penalties):
            return Step(torch.stack(losses), None, outs)
        present = [torch.zeros_like(losses[0]) if penalty is None else penalty for penalty in penalties]
        return Step(torch.stack(losses), torch.stack(present), outs)

    def _one(self, k: int, batch: Batch, keys: Tensor, guard: int) -> tuple[Tensor, Tensor | None, Tensor]:
        dropout.tell(self._places[k], keys)
        streams.seed_global(self._crew.device, guard)
        return self._descend(k, batch)

    def _descend(self, k: int, batch: Batch) -> tuple[Tensor, Tensor | None, Tensor]:
        optimizer, params = self._crew.states[k].optimizer, self._params[k]
        optimizer.zero_grad()
        with self._crew.precision():
            out = self._models[k](batch.x[0])
        loss = self._criterion.one(k, full(out), batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        used = [param for param in params if param.grad is not None]
        rows = [param.detach().unsqueeze(0) for param in used]
        penalty = self._descents[k].penalty(rows)
        self._descents[k].correct([_grad(param).unsqueeze(0) for param in used], rows)
        optimizer.step()
        return loss.detach(), None if penalty is None else penalty[0], full(out).detach()


def _grad(param: Tensor) -> Tensor:
    assert param.grad is not None
    return param.grad
