"""Which trials may train as one stack: those that differ in values only."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.training.member import Member
    from hpc_sweep.training.task import Task

_OWN = frozenset(nn.Module().__dict__) - {"training"}
"""What torch keeps of every module; parameters, buffers and children are compared by themselves."""

_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


def partition(task: Task, members: Sequence[Member], signatures: Sequence[str]) -> list[list[Member]]:
    """Return the groups of members that may stack, in the order of their first ones.

    They agree in every key but the task's value keys, and in the signatures of their models: a stack runs one model's
    Python code, so what another has set differently there would silently be lost.
    """
    groups: dict[tuple[str, str], list[Member]] = {}
    for member, signature in zip(members, signatures, strict=True):
        groups.setdefault((member.shape_text(task.value_keys), signature), []).append(member)
    return list(groups.values())


def signature(model: nn.Module) -> str:
    """Return a digest of what the code of a model can see, beside the values of its parameters."""
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        attributes = {key: value for key, value in vars(module).items() if key not in _OWN}
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        shapes = [(key, tuple(value.shape), str(value.dtype), value.requires_grad) for key, value in tensors]
        digest.update(repr((name, type(module).__qualname__, _seen(attributes), shapes)).encode())
    return digest.hexdigest()


def _seen(value: object) -> object:
    """Return a value in a form whose text is the same for equal values of two models."""
    if isinstance(value, Tensor):
        return ("tensor", hashlib.sha256(value.detach().cpu().numpy().tobytes()).hexdigest())
    if isinstance(value, dict):
        return [(key, _seen(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_seen(item) for item in value]
    if isinstance(value, nn.Module):
        return ("module", type(value).__qualname__)
    return _ADDRESS.sub("", repr(value))
