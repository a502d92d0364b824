"""The losses of a stack computed at once, as on a GPU; here on a CPU, where the numbers are the same."""

from __future__ import annotations

import pytest
import torch

from hpc_sweep.errors import UserError
from hpc_sweep.training.criterion import Criterion
from hpc_sweep.training.feed import Batch
from hpc_sweep.training.member import Member
from hpc_sweep.trial import Quiet
from tests.unit.training.architectures import Zoo, grid
from tests.unit.training.runs import CPU


class Detached(Zoo):
    """A loss that was cut off from the weights."""

    def loss(self, out, y, cfg, data):
        """Cut it off."""
        return super().loss(out, y, cfg, data).detach()


def losses(task):
    """Return the losses of three members for the same outputs, at once and one by one."""
    configs = grid("layernorm mlp", 3)
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    data = task.data(configs[0], CPU)
    batch = Batch(data.train.x[None, :8], data.train.y[None, :8], (0, 0, 0))
    out = torch.randn(3, 8, 3, generator=torch.Generator().manual_seed(1), dtype=task.dtype, requires_grad=True)
    return [Criterion(task, members, data, together=together).all(out, batch) for together in (True, False)]


def test_losses_at_once_are_those_of_one_by_one():
    """And both can be followed back to the outputs."""
    at_once, one_by_one = losses(Zoo())

    assert torch.allclose(at_once, one_by_one, rtol=1e-12)
    assert at_once.requires_grad
    assert one_by_one.requires_grad


def test_losses_at_once_that_cannot_be_followed_are_refused():
    """In the sentence that a trial alone gets."""
    with pytest.raises(UserError, match="does not depend on the weights"):
        losses(Detached())
