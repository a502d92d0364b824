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
        self._rows = [[param.detach().unsqueeze(0) for param in params] for params in self._params]
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
    def _gathered(taken: Sequence[tuple[Tensor, Tensor]]) -> Step:
        losses, outs = zip(*taken, strict=True)
        return Step(losses[0].unsqueeze(0) if len(losses) == 1 else torch.stack(losses), outs)

    def _one(self, k: int, batch: Batch, keys: Tensor, guard: int) -> tuple[Tensor, Tensor]:
        dropout.tell(self._places[k], keys)
        streams.seed_global(self._crew.device, guard)
        return self._descend(k, batch)

    def _descend(self, k: int, batch: Batch) -> tuple[Tensor, Tensor]:
        optimizer, params = self._crew.states[k].optimizer, self._params[k]
        optimizer.zero_grad()
        with self._crew.precision():
            out = self._models[k](batch.x[0])
        loss = self._criterion.one(k, full(out), batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
        if self._descents[k].corrects:
            pairs = [(param.grad, row) for param, row in zip(params, self._rows[k], strict=True)]
            used = [(grad.unsqueeze(0), row) for grad, row in pairs if grad is not None]
            self._descents[k].correct([grad for grad, _ in used], [row for _, row in used])
        optimizer.step()
        return loss.detach(), full(out).detach()
