"""Modules that hold ``K`` trials side by side in their channels: the rules of the grouped engine.

``N`` items, ``C`` channels of one trial. Inputs are (N, K·C, ...), trial after trial, or (N, C, ...) where no trial
has changed them yet; features on the last axis likewise, (..., K·F) or (..., F). Parameters come stacked, (K, ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from hpc_sweep.training import dropout
from hpc_sweep.training.engines.base import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

Tensors = dict[str, "Tensor"]


class Grouped(nn.Module):
    """A module of ``K`` trials, made of one of theirs: its settings, its parameters and its buffers, stacked."""

    def __init__(self, module: Any, trials: int, params: Tensors, buffers: Tensors) -> None:  # noqa: ANN401 because each rule knows its module
        super().__init__()
        self.trials = trials
        self.one: Any = [module]  # in a list, so that it is no child
        self.stacked = {**params, **buffers}

    @property
    def module(self) -> Any:  # noqa: ANN401 because each rule knows its module
        """The module that this one stands for."""
        return self.one[0]

    def get(self, name: str) -> Tensor | None:
        """Return a stacked parameter or buffer (K, ...), or None where the module has none of that name."""
        return self.stacked.get(name)

    def flat(self, name: str) -> Tensor | None:
        """Return a stacked parameter or buffer with the trials in its first axis, (K·C, ...), strides as they were."""
        tensor = self.get(name)
        if tensor is None or tensor.ndim < 4 or 1 not in tensor.shape:  # noqa: PLR2004 because one axis has one order
            return None if tensor is None else tensor.flatten(0, 1)
        # Where an axis has size 1, flattening chooses its stride anew; by it, torch tells whether channels are last.
        inner = sorted(range(2, tensor.ndim), key=lambda axis: (tensor.stride(axis), tensor.shape[axis]), reverse=True)
        back = [1 + inner.index(axis) for axis in range(2, tensor.ndim)]
        return tensor.permute(0, 1, *inner).flatten(0, 1).permute(0, *back)

    def spread(self, x: Tensor, axis: int, size: int) -> Tensor:
        """Return an input with the channels of all trials; one that all share is repeated for each."""
        if x.shape[axis] != size:
            return x
        return torch.cat([x] * self.trials, dim=axis)


class Convolution(Grouped):
    """A convolution with K times the groups, or with K times the channels out where all trials see one input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, K·C, ...)."""
        module = self.module
        if module.padding_mode != "zeros":
            raise Unfit(f"convolutions padded with {module.padding_mode} have no grouped rule")
        shared = x.shape[1] == module.in_channels
        if shared and module.groups > 1:
            x, shared = self.spread(x, 1, module.in_channels), False
        groups = module.groups * (1 if shared else self.trials)
        convolve = _CONVOLVE[type(module)]
        args = (module.stride, module.padding, module.dilation, groups)
        return convolve(x, self.flat("weight"), self.flat("bias"), *args)


class Linear(Grouped):
    """K linear layers on the last axis: one product where all trials see one input, a batch of products otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., K·F)."""
        weight, bias = self.stacked["weight"], self.get("bias")
        if x.shape[-1] == self.module.in_features:
            return functional.linear(x, weight.flatten(0, 1), self.flat("bias"))
        rows = x.reshape(-1, self.trials, self.module.in_features).transpose(0, 1)
        if bias is None:
            out = torch.bmm(rows, weight.transpose(1, 2))
        else:
            out = torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
        if out.requires_grad:
            # In the layout of a trial alone, the gradient of its bias is summed in the order of a trial alone.
            out.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]  # torch leaves it without types
        return out.transpose(0, 1).reshape(*x.shape[:-1], -1)


class BatchNorm(Grouped):
    """BatchNorm of K·C channels: statistics are of one channel, so of one trial."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values and, in training, move the running statistics."""
        module = self.module
        if module.momentum is None:
            raise Unfit("a BatchNorm without momentum has no grouped rule")
        x = self.spread(x, 1, module.num_features)
        tracked = self.get("num_batches_tracked")
        if self.training and tracked is not None:
            tracked.add_(1)
        mean, var = self.flat("running_mean"), self.flat("running_var")
        batch_statistics = self.training or mean is None
        return functional.batch_norm(
            x, mean, var, self.flat("weight"), self.flat("bias"), batch_statistics, module.momentum, module.eps
        )


class GroupNorm(Grouped):
    """GroupNorm with K times the groups."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values."""
        module = self.module
        groups = module.num_groups * self.trials
        x = self.spread(x, 1, module.num_channels)
        return functional.group_norm(x, groups, self.flat("weight"), self.flat("bias"), module.eps)


class LayerNorm(Grouped):
    """LayerNorm of the last axes, the first of which holds the trials."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values."""
        module, shape = self.module, self.module.normalized_shape
        spread = self.spread(x, -len(shape), shape[0])
        parts = spread.reshape(*spread.shape[: -len(shape)], self.trials, *shape)
        out = functional.layer_norm(parts, shape, None, None, module.eps)
        weight, bias = self.get("weight"), self.get("bias")
        out = out if weight is None else out * weight
        out = out if bias is None else out + bias
        return out.flatten(-len(shape) - 1, -len(shape))


class Embedding(Grouped):
    """K tables, looked up with one index; features on the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., K·F)."""
        if self.module.max_norm is not None or self.module.sparse or self.module.scale_grad_by_freq:
            raise Unfit("an embedding with max_norm, sparse or scaled gradients has no grouped rule")
        rows = [functional.embedding(x, table, self.module.padding_idx) for table in self.stacked["weight"]]
        return torch.cat(rows, dim=-1)


class Dropout(Grouped):
    """Counted dropout of K trials: each drops what it would drop alone."""

    key: Tensor

    def __init__(self, module: dropout.Dropout, trials: int, params: Tensors, buffers: Tensors) -> None:
        super().__init__(module, trials, params, buffers)
        self.axis: int | None = None
        self.register_buffer("key", buffers["key"], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, K·C, ...) with some values at zero in training."""
        if not self.training:
            return x
        axis = (1 if x.ndim > 3 else x.ndim - 1) if self.axis is None else self.axis  # noqa: PLR2004 because (N, T, F) has three
        if x.shape[axis] % self.trials:
            raise Unfit("dropout meets values that no trial has changed yet")
        shape = [*x.shape[:axis], x.shape[axis] // self.trials, *x.shape[axis + 1 :]]
        drawn = shape[:2] if self.module.channels else shape
        count = torch.Size(drawn).numel()
        factors = dropout.factors(self.key, self.stacked["edge"], self.stacked["scale"], count).view(
            self.trials, *drawn
        )
        # (K, ..., C, ...) to (..., K·C, ...): the trials stand right before the axis that holds them.
        factors = factors.movedim(0, axis).flatten(axis, axis + 1)
        return dropout.scaled(x, factors.reshape(*factors.shape, *[1] * (x.ndim - factors.ndim)))


_CONVOLVE: Mapping[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv1d: functional.conv1d,
    nn.Conv2d: functional.conv2d,
    nn.Conv3d: functional.conv3d,
}

RULES: Mapping[type[nn.Module], type[Grouped]] = {
    **dict.fromkeys(_CONVOLVE, Convolution),
    nn.Linear: Linear,
    nn.BatchNorm1d: BatchNorm,
    nn.BatchNorm2d: BatchNorm,
    nn.BatchNorm3d: BatchNorm,
    nn.GroupNorm: GroupNorm,
    nn.LayerNorm: LayerNorm,
    nn.Embedding: Embedding,
    dropout.Dropout: Dropout,
}
"""The grouped form of each module that holds parameters, statistics or keys; all others work as they are."""
