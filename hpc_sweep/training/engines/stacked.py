"""``K`` models laid into one another: each parameter and buffer becomes a row of one tensor (K, ...).

The models stay usable: their parameters and buffers are the rows, so what an engine does to the whole is at once what
each trial's state holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hpc_sweep.training.engines.base import Unfit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    from hpc_sweep.training.state import State


class Stacked:
    """The parameters, leaves of autograd, and buffers of ``K`` models of one architecture, by name, each (K, ...)."""

    def __init__(self, states: Sequence[State]) -> None:
        self.states = states
        models = [state.model for state in states]
        self.rows = [dict(model.named_parameters()) for model in models]
        self.params = {name: _leaf([row[name] for row in self.rows]) for name in self.rows[0]}
        self.buffers = {name: stack(values) for name, values in _buffers(models).items()}
        for k, model in enumerate(models):
            for name, param in self.rows[k].items():
                param.data = self.params[name].data[k]
            for name, stacked in self.buffers.items():
                owner, leaf = _owner(model, name)
                owner._buffers[leaf] = stacked[k]  # noqa: SLF001 because assigning through the module copies nothing either, and checks a lot

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients (K, ...) of the parameters that have one, and take them off the parameters."""
        found: dict[str, Tensor] = {}
        for name, param in self.params.items():
            if param.grad is not None:
                found[name], param.grad = param.grad, None
        return found


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Return tensors (...) as one (K, ...), each row with the strides that it had, so that channels stay last.

    Of two axes with one stride, the one of size 1 lies inside: so it is where a single channel is last.
    """
    like = tensors[0]
    order = sorted(range(like.ndim), key=lambda axis: (like.stride(axis), like.shape[axis]), reverse=True)
    together = torch.stack([tensor.detach().permute(order) for tensor in tensors])
    back = [0, *(1 + order.index(axis) for axis in range(len(order)))]
    return together.permute(back)


def _leaf(params: Sequence[Tensor]) -> Tensor:
    return stack(params).requires_grad_(params[0].requires_grad)


def _buffers(models: Sequence[nn.Module]) -> Mapping[str, list[Tensor]]:
    named = [dict(model.named_buffers()) for model in models]
    return {name: [buffers[name] for buffers in named] for name in named[0]}


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    owner = model.get_submodule(path)
    if leaf not in owner._buffers:  # noqa: SLF001 because a module has no other list of its own buffers
        raise Unfit(f"the buffer {name} is not where its name says")
    return owner, leaf
