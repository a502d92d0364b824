"""Dropout whose rate is a number of the trial and whose draws are counted, for one trial or ``K`` at once.

A model is written with torch's own dropout; `install` puts these modules in their places, whatever ``K`` is. Which
values fall is a function of trial seed, module path, epoch, step and the value's position, so a trial drops the same
values alone, in a stack of any engine, on any device and after a resume. Rates are kept in 65,536ths, and what stays
is scaled by exactly what is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from hpc_sweep.training import streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_LEVELS = 1 << 16
_BY_VALUE: tuple[type[nn.Module], ...] = (nn.Dropout,)
_BY_CHANNEL: tuple[type[nn.Module], ...] = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class Dropout(nn.Module):
    """Drops values, or whole channels, of the trial that it is told the key of.

    Its buffers belong to no state dict: ``edge`` (int16) and ``scale`` (float32) say how much falls and what the rest
    is multiplied by, ``key`` (int64) is the stream of the coming forward pass. In ``K`` trials each is (K,).
    """

    edge: Tensor
    scale: Tensor
    key: Tensor

    def __init__(self, rate: float, *, channels: bool = False) -> None:
        super().__init__()
        self.channels = channels
        dropped = round(rate * _LEVELS)
        # Lanes reach up to 2**15 - 1, so an edge of 2**15 is out of their type: a scale of 0 drops the last of them.
        edge = min(dropped, _LEVELS - 1) - _LEVELS // 2
        scale = _LEVELS / (_LEVELS - dropped) if dropped < _LEVELS else 0.0
        self.register_buffer("edge", torch.tensor(edge, dtype=torch.int16), persistent=False)
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32), persistent=False)
        self.register_buffer("key", torch.tensor(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return values (N, C, ...) with some at zero in training, and as they are otherwise."""
        if not self.training:
            return x
        shape = x.shape[:2] if self.channels else x.shape
        drawn = factors(self.key, self.edge, self.scale, shape.numel()).view(shape)
        return scaled(x, drawn.reshape(*shape, *[1] * (x.ndim - len(shape))))


def factors(keys: Tensor, edges: Tensor, scale: Tensor, count: int) -> Tensor:
    """Return what ``count`` values of each trial (...) are multiplied by, (..., count): 0 or the trial's scale."""
    return (streams.lanes(keys, count) >= edges.unsqueeze(-1)) * scale.unsqueeze(-1)


def scaled(x: Tensor, scale: Tensor) -> Tensor:
    """Multiply, in the type of the values; a type of 16 bits would round the scale itself."""
    if x.dtype.itemsize < scale.dtype.itemsize:
        return (x.float() * scale).to(x.dtype)
    return x * scale


def install(model: nn.Module) -> nn.Module:
    """Put counted dropout in the place of torch's own, in the model itself; return the model."""
    if _replaces(model):
        return _counted(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if _replaces(child):
                setattr(module, name, _counted(child))
    return model


def places(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that take a key, by their path; a grouped engine's are recognised as well."""
    return {name: module for name, module in model.named_modules() if "key" in module._buffers}  # noqa: SLF001 because a module has no other list of its own buffers


def tell(sites: Mapping[str, nn.Module], keys: Tensor) -> None:
    """Give each place its key of the coming step; ``keys`` are (places, ...) in their order."""
    for module, key in zip(sites.values(), keys.unbind(), strict=True):
        module._buffers["key"] = key  # noqa: SLF001 because assigning through the module costs ten times as much


def _replaces(module: nn.Module) -> bool:
    return type(module) in (*_BY_VALUE, *_BY_CHANNEL)


def _counted(module: nn.Module) -> Dropout:
    rate = module.p
    assert isinstance(rate, float | int)
    return Dropout(rate, channels=isinstance(module, _BY_CHANNEL)).train(module.training)
