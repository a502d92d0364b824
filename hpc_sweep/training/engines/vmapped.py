"""The forward pass of ``K`` models by `torch.func.vmap`: for heads, transformers and what grouping has no rule for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch.func import functional_call, vmap

from hpc_sweep.training import dropout
from hpc_sweep.training.engines.base import Crew, modes

if TYPE_CHECKING:
    from torch import Tensor

    from hpc_sweep.training.engines.stacked import Stacked

# How fast an operation without a batching rule is, is measured before the engine is chosen.
torch._C._functorch._set_vmap_fallback_warning_enabled(False)  # type: ignore[attr-defined]  # noqa: FBT003, SLF001 because there is no public switch


class Vmapped:
    """Calls one model with stacked parameters and buffers; a draw from the global generator is an error."""

    def __init__(self, crew: Crew, stacked: Stacked) -> None:
        self._stacked, self._model = stacked, copy.deepcopy(crew.states[0].model)
        self._keys = [f"{place}.key" if place else "key" for place in dropout.places(self._model)]

    def __call__(self, x: Tensor, sources: tuple[int, ...], *, training: bool) -> Tensor:
        """Return the outputs of all models."""
        modes([self._model], training=training)
        together = vmap(self._call, in_dims=(0, 0, None if len(x) == 1 else 0), randomness="error")
        inputs = x[0] if len(x) == 1 else x[list(sources)]
        out: Tensor = together(self._stacked.params, self._stacked.buffers, inputs)
        return out

    def tell(self, keys: Tensor) -> None:
        """Put the keys among the buffers."""
        self._stacked.buffers.update(zip(self._keys, keys.unbind(), strict=True))

    def _call(self, params: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        out: Tensor = functional_call(self._model, (params, buffers), (x,))
        return out
