"""The seam of the engines: one step of ``K`` members, and the judgement of their models.

An engine takes over the states of its members: between two calls, each state is what it would be if its trial had
trained alone, so it can be captured, or handed to another engine, at any time.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from hpc_sweep.training import dropout
from hpc_sweep.training.criterion import Criterion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from hpc_sweep.training.feed import Batch, Judged
    from hpc_sweep.training.member import Member
    from hpc_sweep.training.state import State
    from hpc_sweep.training.task import Data, Task


class Unfit(Exception):  # noqa: N818 because it is no error: another engine takes the stack
    """The engine cannot train this model; the text says why, in a few words."""


class Step(NamedTuple):
    """What one step leaves on the device, a row for each member: losses without penalties, and outputs (B, ...)."""

    loss: Tensor
    out: Sequence[Tensor]


@dataclass(frozen=True)
class Crew:
    """The members of a stack with the states that an engine takes over, and what they train on."""

    task: Task
    members: Sequence[Member]
    states: Sequence[State]
    data: Data
    device: torch.device

    def criterion(self) -> Criterion:
        """Return the losses of the members."""
        return Criterion(self.task, self.members, self.data, together=self.device.type != "cpu")

    def places(self) -> tuple[str, ...]:
        """Return the paths of the modules that take a key; they are the same in all models of a stack."""
        return tuple(dropout.places(self.states[0].model))

    def precision(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        if self.members[0].recipe.bfloat16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


class Engine(Protocol):
    """Trains ``K`` members side by side."""

    name: str

    def step(self, batch: Batch, keys: Tensor, guards: Sequence[int]) -> Step:
        """Take one step of all members.

        ``keys`` (places, K) are the streams of the modules that drop. ``guards``, one for each member, are where
        torch's global generator has to stand before its forward pass: for models that draw from it all the same.
        """

    def judge(self, batch: Judged) -> Sequence[Tensor]:
        """Return the outputs of each member for items that are not trained on; nothing of a state changes."""

    def begin(self) -> None:
        """Prepare for the steps of an epoch; learning rates may have changed."""


def full(out: Tensor) -> Tensor:
    """Return outputs in a precision that a loss can be computed in."""
    return out.float() if out.dtype in (torch.bfloat16, torch.float16) else out


def modes(models: Sequence[nn.Module], *, training: bool) -> None:
    """Switch models between training and judgement."""
    for model in models:
        if model.training != training:
            model.train(training)
