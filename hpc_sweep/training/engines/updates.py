"""The optimizers of a stack: torch's own, on the rows of stacked parameters.

`Rows` runs each trial's stock optimizer, whatever it is. For Adam, AdamW and SGD `Kernels` calls torch's fused kernels
straight on the rows: the same arithmetic on the same state, without what `Optimizer.step` does around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import optim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from torch import Tensor
    from torch.optim import Optimizer

    from hpc_sweep.training.engines.stacked import Stacked

Group = dict[str, Any]


class Update(Protocol):
    """Moves the parameters of a stack along gradients (K, ...), by name."""

    def __call__(self, grads: Mapping[str, Tensor]) -> None:
        """Take one step of every trial's optimizer."""


class Rows:
    """Every trial's stock optimizer on its rows."""

    def __init__(self, stacked: Stacked) -> None:
        self._stacked = stacked

    def __call__(self, grads: Mapping[str, Tensor]) -> None:
        """Hand each parameter the row of its gradient, and step."""
        for name, grad in grads.items():
            for row, part in zip(self._stacked.rows, grad.unbind(), strict=True):
                row[name].grad = part
        for row, state in zip(self._stacked.rows, self._stacked.states, strict=True):
            state.optimizer.step()
            for name in grads:
                row[name].grad = None


class Kernels:
    """Torch's fused kernels on the rows.

    The first step of each optimizer is its own, which makes its state; so is one with gradients of other parameters.
    """

    def __init__(self, stacked: Stacked) -> None:
        self._stacked, self._stock = stacked, Rows(stacked)
        self._calls: list[_Call] | None = None
        self._steps: Tensor | None = None
        self._names: Collection[str] = ()

    @torch.no_grad()
    def __call__(self, grads: Mapping[str, Tensor]) -> None:
        """Step every group of every trial by one kernel each."""
        if self._calls is None or grads.keys() != self._names:
            self._stock(grads)
            self._names = grads.keys()
            pairs = zip(self._stacked.states, self._stacked.rows, strict=True)
            self._steps = _together(
                [state.optimizer.state.get(row[name], {}) for state, row in pairs for name in grads]
            )
            self._calls = [
                _Call(group, state.optimizer, {name: row[name] for name in grads})
                for state, row in zip(self._stacked.states, self._stacked.rows, strict=True)
                for group in state.optimizer.param_groups
            ]
            return
        if self._steps is not None:
            self._steps.add_(1)
        rows = {name: grad.unbind() for name, grad in grads.items()}
        of_trial = len(self._calls) // len(self._stacked.rows)
        for index, call in enumerate(self._calls):
            call([rows[name][index // of_trial] for name in call.names])


class _Call:
    """One group of one trial's optimizer, ready for its kernel; ``row`` are the parameters that have gradients."""

    def __init__(self, group: Group, optimizer: Optimizer, row: Mapping[str, Tensor]) -> None:
        names = {id(param): name for name, param in row.items()}
        params = [param for param in group["params"] if id(param) in names]
        self.names = [names[id(param)] for param in params]
        self._group, self._params = group, [param.data for param in params]
        self._states = [optimizer.state.get(param, {}) for param in params]
        self._kernel = _adam_kernel(self._states) if "betas" in group else _sgd_kernel(self._states)

    def __call__(self, grads: list[Tensor]) -> None:
        if self._params:
            self._kernel(self._group, self._params, grads)


def _together(states: Sequence[dict[str, Any]]) -> Tensor | None:
    """Lay the step counts of optimizers' states into one tensor, so that one operation advances them."""
    counting = [state for state in states if "step" in state]
    if not counting:
        return None
    steps = torch.stack([state["step"] for state in counting])
    for state, step in zip(counting, steps.unbind(), strict=True):
        state["step"] = step
    return steps


def update(stacked: Stacked) -> Update:
    """Return the fastest right way to step the optimizers of a stack."""
    return Kernels(stacked) if all(_plain(state.optimizer) for state in stacked.states) else Rows(stacked)


def _adam_kernel(states: Sequence[Mapping[str, Tensor]]) -> Callable[[Group, list[Tensor], list[Tensor]], None]:
    means, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))

    def step(group: Group, params: list[Tensor], grads: list[Tensor]) -> None:
        kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        kernel(
            params,
            grads,
            means,
            squares,
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    return step


def _sgd_kernel(states: Sequence[Mapping[str, Tensor]]) -> Callable[[Group, list[Tensor], list[Tensor]], None]:
    momenta = [state["momentum_buffer"] for state in states if state.get("momentum_buffer") is not None]

    def step(group: Group, params: list[Tensor], grads: list[Tensor]) -> None:
        torch._fused_sgd_(
            params,
            grads,
            momenta,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=False,
        )

    return step


def _plain(optimizer: Optimizer) -> bool:
    """Tell whether the kernels do what the optimizer does: Adam, AdamW or SGD, fused, without rarer options."""
    return type(optimizer) in (optim.Adam, optim.AdamW, optim.SGD) and all(
        group["fused"]
        and not group.get("amsgrad")
        and not group["maximize"]
        and not group["differentiable"]
        and not group.get("capturable")
        and not isinstance(group["lr"], torch.Tensor)
        and not any(isinstance(beta, torch.Tensor) for beta in group.get("betas", ()))
        for group in optimizer.param_groups
    )
