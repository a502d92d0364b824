"""The forward pass of ``K`` models as one wide model: every module is swapped for its grouped form."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from hpc_sweep.training import dropout
from hpc_sweep.training.engines.base import Crew, Unfit, modes
from hpc_sweep.training.engines.modules import RULES, Dropout, Grouped

if TYPE_CHECKING:
    from torch import Tensor

    from hpc_sweep.training.engines.stacked import Stacked


class Wide:
    """One model whose channels are those of all trials, one trial after the other.

    An input that all trials see stays as it is, for the first modules to spread it, unless ``spread`` asks for it.
    """

    def __init__(self, crew: Crew, stacked: Stacked, *, spread: bool = False) -> None:
        self._trials, self._spread = len(crew.states), spread
        self._axis = 1 if _has(crew.states[0].model, nn.Conv1d) else 2
        self._model = widened(crew.states[0].model, stacked, self._trials)
        self._places = dropout.places(self._model)

    def __call__(self, x: Tensor, sources: tuple[int, ...], *, training: bool) -> Tensor:
        """Return the outputs of all models."""
        modes([self._model], training=training)
        shared = len(x) == 1 and not self._spread
        out: Tensor = self._model(x[0] if shared else self._side_by_side(x, sources))
        axis = self._trials_axis(out)
        if out.ndim <= axis or out.shape[axis] % self._trials:
            raise Unfit(f"an output of shape {tuple(out.shape)} does not hold {self._trials} trials")
        shape = (*out.shape[:axis], self._trials, out.shape[axis] // self._trials, *out.shape[axis + 1 :])
        return out.reshape(shape).movedim(axis, 0)

    def tell(self, keys: Tensor) -> None:
        """Give each place its keys; what all trials draw alike is drawn once."""
        dropout.tell(self._places, keys[:, :1] if keys.stride(1) == 0 else keys)

    def _side_by_side(self, x: Tensor, sources: tuple[int, ...]) -> Tensor:
        return torch.cat([x[source] for source in sources], dim=self._trials_axis(x[0]))

    def _trials_axis(self, values: Tensor) -> int:
        """Return which axis of (N, C, ...) or (N, T, F) holds the trials."""
        return self._axis if values.ndim == 3 else 1  # noqa: PLR2004 because (N, T, F) has three


def widened(model: nn.Module, stacked: Stacked, trials: int) -> nn.Module:
    """Return a copy of a model with every module that holds something in its grouped form; Unfit without a rule."""
    names = {id(param): name for name, param in model.named_parameters()}
    paths = {id(module): path for path, module in model.named_modules()}
    channels_first = _has(model, nn.Conv1d)
    made: dict[int, Grouped] = {}

    def grouped(module: nn.Module) -> Grouped:
        if id(module) not in made:
            path = paths[id(module)]
            params = {leaf: stacked.params[names[id(param)]] for leaf, param in module.named_parameters(recurse=False)}
            buffers = {leaf: stacked.buffers[_joined(path, leaf)] for leaf, _ in module.named_buffers(recurse=False)}
            wide = _rule(module, path)(module, trials, params, buffers)
            if isinstance(wide, Dropout) and channels_first:
                wide.axis = 1
            made[id(module)] = wide
        return made[id(module)]

    def swapped(module: nn.Module) -> nn.Module:
        if _holds(module):
            return grouped(module)
        clone = copy.copy(module)
        children = module._modules.items()  # noqa: SLF001 because a shallow copy shares its children
        clone._modules = {name: None if child is None else swapped(child) for name, child in children}  # noqa: SLF001 as above
        return clone

    return swapped(model)


def _holds(module: nn.Module) -> bool:
    """Tell whether a module itself has parameters, buffers or a key."""
    own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return bool(own) or type(module) in RULES


def _rule(module: nn.Module, path: str) -> type[Grouped]:
    if type(module) not in RULES:
        raise Unfit(f"{type(module).__name__} '{path}' has no grouped rule")
    return RULES[type(module)]


def _has(model: nn.Module, kind: type[nn.Module]) -> bool:
    return any(isinstance(module, kind) for module in model.modules())


def _joined(path: str, leaf: str) -> str:
    return f"{path}.{leaf}" if path else leaf
