"""The losses of a stack: each member's own, and all at once where the task's loss allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.func import vmap

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from hpc_sweep.training.feed import Batch
    from hpc_sweep.training.member import Member
    from hpc_sweep.training.task import Data, Task

_GRADED = "Let the task's loss return a tensor that it computed from the outputs, without .item() or .detach()"


class Criterion:
    """Computes the loss of ``K`` members; where ``together``, those that agree in what the loss reads at once.

    On a GPU that saves launches. On a CPU it saves nothing, and one by one each loss and its gradient are rounded as in
    a trial alone.
    """

    def __init__(self, task: Task, members: Sequence[Member], data: Data, *, together: bool) -> None:
        self._task, self._members, self._data = task, members, data
        texts = [member.loss_text for member in members]
        self._groups = [[k for k, text in enumerate(texts) if text == one] for one in dict.fromkeys(texts)]
        self._together = together

    def one(self, member: int, out: Tensor, batch: Batch) -> Tensor:
        """Return the scalar loss of one member for its outputs (B, ...) of its own batch."""
        y, other, kept = (None if part is None else part[0] for part in (batch.y, batch.other, batch.kept))
        return self._followed(self._members[member], self._mixed(self._members[member], out, y, other, kept))

    def all(self, out: Tensor, batch: Batch) -> Tensor:
        """Return the losses (K,) for outputs (K, B, ...)."""
        if self._together:
            try:
                return self._vectorised(out, batch)
            except (RuntimeError, NotImplementedError):  # what vmap raises for a loss that it cannot follow
                self._together = False
        return torch.stack([self.one(k, row, batch.of(k)) for k, row in enumerate(out)])

    def _vectorised(self, out: Tensor, batch: Batch) -> Tensor:
        losses = [self._group(members, out, batch) for members in self._groups]
        if len(losses) == 1:
            return losses[0]
        order = torch.tensor([k for members in self._groups for k in members], device=out.device).argsort()
        return torch.cat(losses)[order]

    def _group(self, members: Sequence[int], out: Tensor, batch: Batch) -> Tensor:
        rows = out if len(members) == len(out) else out[list(members)]
        if batch.shared:
            parts, dims = [part if part is None else part[0] for part in (batch.y, batch.other, batch.kept)], None
        else:
            own = [batch.sources[k] for k in members]
            parts, dims = [part if part is None else part[own] for part in (batch.y, batch.other, batch.kept)], 0
        in_dims = (0, *(None if part is None else dims for part in parts))
        mixed: Callable[..., Tensor] = vmap(lambda o, *rest: self._mixed(self._members[members[0]], o, *rest), in_dims)
        return self._followed(self._members[members[0]], mixed(rows, *parts))

    def _mixed(
        self, member: Member, out: Tensor, y: Tensor | None, other: Tensor | None, kept: Tensor | None
    ) -> Tensor:
        assert y is not None
        loss = self._checked(member, self._task.loss(out, y, member.loss, self._data))
        if other is None or kept is None:
            return loss
        return kept * loss + (1 - kept) * self._task.loss(out, other, member.loss, self._data)

    def _checked(self, member: Member, loss: object) -> Tensor:
        if not isinstance(loss, torch.Tensor):
            raise _refusal(member, f"is {loss!r:.40} and no tensor", _GRADED)
        if loss.ndim:
            raise _refusal(member, f"has the shape {tuple(loss.shape)}", "Let the task's loss end in .mean()")
        return loss

    def _followed(self, member: Member, loss: Tensor) -> Tensor:
        """Return what was computed outside of `vmap`, where torch tells whether it can be followed to the weights."""
        if not loss.requires_grad:
            raise _refusal(member, "does not depend on the weights", _GRADED)
        return loss


def _refusal(member: Member, what: str, next_step: str) -> UserError:
    return UserError(
        f"The loss of a batch {what}, and training needs one number.",
        where=f"Trial {member.digest[:12]}, seed={member.cfg.seed}",
        next_step=next_step,
    )
