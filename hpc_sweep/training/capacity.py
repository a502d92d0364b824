"""What fits into memory: how many trials of a group at once, by one step of one trial, and whether the data do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hpc_sweep.training.engines.base import Crew
from hpc_sweep.training.engines.sequential import Sequential
from hpc_sweep.training.feed import Feed
from hpc_sweep.training.keys import epoch_keys
from hpc_sweep.training.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from hpc_sweep.training.member import Member
    from hpc_sweep.training.task import Data, Task

_SHARE = 0.5
"""The part of the free memory that stacks may plan for: engines hold more than one trial alone shows."""
_MOMENTS = 4
"""Parameters, gradients and the optimizer's two moments."""
_CGROUP = Path("/sys/fs/cgroup")


def capacity(task: Task, members: Sequence[Member], data: Data, device: torch.device) -> int:
    """Return how many of the members may train at once, at least one."""
    return max(1, min(len(members), int(_SHARE * free(device) / max(1, per_trial(task, members[0], data, device)))))


def per_trial(task: Task, member: Member, data: Data, device: torch.device) -> int:
    """Return the bytes of one trial: its parameters with what moves them, and what a step keeps for its gradient."""
    state = State.fresh(task, member.cfg, device)
    crew = Crew(task, [member], [state], data, device)
    batch = next(iter(Feed(task, [member], data.train, device).epoch([1])))
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    key = next(iter(epoch_keys([member], [1], 1, crew.places(), device)))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        Sequential(crew).step(batch, *key)
    parameters = sum(param.nbytes for param in state.params.values())
    return _MOMENTS * parameters + sum(kept.values())


def place(tensor: Tensor, device: torch.device) -> Tensor:
    """Return data on the device, or, where they would take too much of it, where they are: batches move one by one."""
    if device.type == "cuda" and tensor.nbytes > _SHARE * free(device):
        return tensor.pin_memory()
    return tensor.to(device)


def free(device: torch.device) -> int:
    """Return the bytes that are free: of the card, or of what this job may use of the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    machine = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    return machine if limit is None or used is None else min(machine, limit - used)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no cgroup of version 2, or no limit ("max")
        return None
