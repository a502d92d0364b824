"""Which engines are right for a model: two trials in float64, compared with the same two trained one by one.

Compared are losses, parameters after plain descent (so every gradient) and buffers, over two steps, with dropout
drawn: once with a batch that the trials share and once with batches of their own. The two start from different
weights, so that an engine that took something of one for the other would be seen. vmap refuses what is no pure function
of one trial (a branch on data, say), which the grouped engine would execute for all trials at once: so grouped has to
be right itself *and* vmap has to be right.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from omegaconf import OmegaConf
from torch import optim

from hpc_sweep.errors import SweepError
from hpc_sweep.training.engines.available import ENGINES
from hpc_sweep.training.engines.base import Crew, Unfit
from hpc_sweep.training.engines.names import GROUPED, PACKED, SEQUENTIAL, SPREAD, VMAP
from hpc_sweep.training.feed import Batch
from hpc_sweep.training.keys import epoch_keys
from hpc_sweep.training.member import Member
from hpc_sweep.training.state import State
from hpc_sweep.training.task import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from hpc_sweep.training.task import Data, Task

TOLERANCE = 1e-9
"""Relative to the largest change of any parameter, or the largest loss; rounding in float64 stays below 1e-12."""

_ITEMS = 6
_STEPS = {PACKED: 5}
_OTHER_SEED = 0x5EED
_RATE = 0.1


@dataclass(frozen=True)
class Verdict:
    """Which engines train a model right, and in a few words why the others do not."""

    right: tuple[str, ...]
    wrong: Mapping[str, str]


@dataclass(frozen=True)
class _Trace:
    """What a run leaves: losses, and parameters and buffers by name, of both trials."""

    losses: Tensor
    params: dict[str, Tensor]
    buffers: dict[str, Tensor]


def probe(task: Task, members: Sequence[Member], data: Data, device: torch.device) -> Verdict:
    """Try every engine on a toy batch; sequential is right by definition."""
    pair = _Pair(task, members, data, device)
    others = (VMAP, GROUPED, PACKED) if device.type == "cuda" else (VMAP, GROUPED)
    if pair.draws():
        return Verdict((SEQUENTIAL,), dict.fromkeys(others, "the model draws from torch's global generator"))
    faults = {name: pair.fault(name) for name in others}
    if faults[GROUPED] and not faults[VMAP] and not pair.fault(SPREAD):
        faults = {SPREAD if name == GROUPED else name: fault for name, fault in faults.items()} | {SPREAD: ""}
    if faults[VMAP] and not faults.get(GROUPED, "-"):
        faults[GROUPED] = f"vmap, the judge of what is one trial's own, refuses: {faults[VMAP]}"
    right = (SEQUENTIAL, *(name for name, fault in faults.items() if not fault))
    return Verdict(right, {name: fault for name, fault in faults.items() if fault})


class _Pair:
    """Two trials of a group in float64, to be trained by any engine from the same start."""

    def __init__(self, task: Task, members: Sequence[Member], data: Data, device: torch.device) -> None:
        first, last = members[0], members[-1]
        self._members = [_plain(task, first, 0), _plain(task, last, _OTHER_SEED)]
        self._task, self._device = task, device
        constants = {name: _double(value) for name, value in data.constants.items()}
        self._data = replace(data, constants=constants)
        self._models = [State.fresh(task, member.cfg, device).model.double() for member in self._members]
        self._count = min(_ITEMS, first.cfg.batch_size, len(data.train) // 2)
        self._reference: dict[bool, _Trace] = {}

    def draws(self) -> bool:
        """Tell whether a forward pass moves torch's global generator, which a stack cannot give to each trial."""
        model = copy.deepcopy(self._models[0]).train()
        before = _generator(self._device)
        model(self._batch(shared=True).x[0])
        return not torch.equal(before, _generator(self._device))

    def fault(self, name: str) -> str:
        """Return why an engine is not right for the model, or nothing."""
        for shared in (True, False):
            try:
                fault = self._differs(name, shared=shared)
            except (Unfit, SweepError) as error:
                fault = str(error).splitlines()[0]
            except Exception as error:  # noqa: BLE001 because what a foreign model raises under an engine is a verdict on it
                fault = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
            if fault:
                return fault
        return ""

    def _differs(self, name: str, *, shared: bool) -> str:
        steps = _STEPS.get(name, 2)
        reference, found = self._run(SEQUENTIAL, steps, shared=shared), self._run(name, steps, shared=shared)
        start = {
            key: value for k, model in enumerate(self._models) for key, value in _named(k, model.named_parameters())
        }
        moved = max((value - start[key]).abs().max().item() for key, value in reference.params.items())
        if _far(found.losses, reference.losses, reference.losses.abs().max().item()):
            return "differs: loss"
        for key, value in reference.params.items():
            if _far(found.params[key], value, moved):
                return f"differs: gradient of {key.partition('.')[2]}"
        for key, value in reference.buffers.items():
            if _far(found.buffers[key].double(), value.double(), max(1.0, value.double().abs().max().item())):
                return f"differs: buffer {key.partition('.')[2]}"
        return ""

    def _run(self, name: str, steps: int, *, shared: bool) -> _Trace:
        models = [copy.deepcopy(model) for model in self._models]
        states = [State(model, optim.SGD(model.parameters(), lr=_RATE, fused=True), None) for model in models]
        crew = Crew(self._task, self._members, states, self._data, self._device)
        engine, batch = ENGINES[name](crew), self._batch(shared=shared)
        engine.begin()
        keys = epoch_keys(self._members, [1, 1], steps, crew.places(), self._device)
        losses = [engine.step(batch, places, guards).loss for places, guards in keys]
        params = {key: p.detach() for k, model in enumerate(models) for key, p in _named(k, model.named_parameters())}
        buffers = {key: b for k, model in enumerate(models) for key, b in _named(k, model.state_dict().items())}
        return _Trace(torch.stack(losses), params, {key: b for key, b in buffers.items() if key not in params})

    def _batch(self, *, shared: bool) -> Batch:
        split, key = self._data.train, torch.tensor(1, device=self._device)
        parts = [slice(0, self._count)] if shared else [slice(0, self._count), slice(self._count, 2 * self._count)]
        inputs = self._members[0].inputs
        x = [_double(self._task.inputs(split.x[part].to(self._device), inputs, key)) for part in parts]
        y = [split.y[part].to(self._device) for part in parts]
        return Batch(torch.stack(x), torch.stack(y), (0, 0) if shared else (0, 1))


def _plain(task: Task, member: Member, seed: int) -> Member:
    """Return a member of another seed, with nothing of the recipe: that is arithmetic of ours, and tested."""
    cfg = copy.deepcopy(member.cfg)
    OmegaConf.set_readonly(cfg, value=False)
    cfg.seed = member.cfg.seed + seed
    return replace(Member.of(task, cfg, member.context), recipe=Recipe())


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _named(trial: int, items: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
    return [(f"{trial}.{name}", value) for name, value in items]


def _far(found: Tensor, expected: Tensor, scale: float) -> bool:
    """Tell whether tensors differ by more than rounding; a NaN in one only is far."""
    if found.shape != expected.shape:
        return True
    close = torch.isclose(found, expected, rtol=0.0, atol=TOLERANCE * max(scale, 1e-12), equal_nan=True)
    return not bool(close.all())


def _generator(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
