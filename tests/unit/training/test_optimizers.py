"""The two meanings of L2, and what is refused."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from hpc_sweep.errors import UserError
from hpc_sweep.training import optimizers

NODES = {
    "adam": {"name": "adam", "lr": 0.01, "betas": [0.9, 0.999], "l2": 0.02, "l2_as": "penalty"},
    "adamw": {"name": "adamw", "lr": 0.01, "betas": [0.9, 0.999], "l2": 0.02, "l2_as": "penalty"},
    "sgd": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "nesterov": True, "l2": 0.02, "l2_as": "penalty"},
}


def trained(name, steps=5, **changes):
    """Return the parameters of a small float64 network after some steps."""
    cfg = OmegaConf.create({**NODES[name], **changes})
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).double()
    x, y = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 2
    params = dict(net.named_parameters())
    optimizer = optimizers.build(params, cfg)
    for _ in range(steps):
        optimizer.zero_grad()
        penalty = optimizers.penalty(params, cfg)
        loss = nn.functional.cross_entropy(net(x), y)
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
    return params


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_penalty_equals_twice_the_weight_decay(name):
    """The penalty's gradient is 2 l2 w, that of weight decay l2 w, where both go through the optimizer."""
    penalised = trained(name, l2=0.02, l2_as="penalty")
    decayed = trained(name, l2=0.04, l2_as="weight_decay")

    for key, value in penalised.items():
        torch.testing.assert_close(value, decayed[key], rtol=0, atol=1e-10)


def test_adamw_decays_beside_the_gradient():
    """With AdamW a penalty and a weight decay of the same strength are not the same."""
    penalised = trained("adamw", l2=0.02, l2_as="penalty")
    decayed = trained("adamw", l2=0.04, l2_as="weight_decay")

    assert not torch.allclose(penalised["0.weight"], decayed["0.weight"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NODES)
def test_without_l2_nothing_is_added_and_nothing_decays(name):
    """L2 of zero gives no penalty, and torch's own default of AdamW does not slip in."""
    cfg = OmegaConf.create({**NODES[name], "l2": 0.0})
    params = dict(nn.Linear(2, 2).named_parameters())

    assert optimizers.penalty(params, cfg) is None
    assert [group["weight_decay"] for group in optimizers.build(params, cfg).param_groups] == [0.0, 0.0]


def test_l2_concerns_weights_and_neither_biases_nor_normalisations():
    """Only parameters with two axes or more are penalised or decayed."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    params = dict(net.named_parameters())
    cfg = OmegaConf.create({**NODES["adam"], "l2_as": "weight_decay"})
    decayed, free = optimizers.build(params, cfg).param_groups

    assert sorted(optimizers.weights(params)) == ["0.weight", "3.weight"]
    assert (decayed["weight_decay"], len(decayed["params"])) == (0.02, 2)
    assert (free["weight_decay"], len(free["params"])) == (0.0, 4)
    assert optimizers.penalty(params, cfg) is None


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"name": "rmsprop"}, "optimizer=adam, optimizer=adamw, optimizer=sgd"),
        ({"l2_as": "hope"}, "optimizer.l2_as=penalty"),
        ({"lr": 0.0}, "optimizer.lr=0.001"),
        ({"lr": float("nan")}, "optimizer.lr=0.001"),
        ({"l2": -1.0}, "optimizer.l2=0.0001"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_type(changes, hint):
    """A wrong name or number is a UserError that shows a right one."""
    cfg = OmegaConf.create({**NODES["adam"], **changes})

    with pytest.raises(UserError, match=hint):
        optimizers.build(dict(nn.Linear(2, 2).named_parameters()), cfg)
