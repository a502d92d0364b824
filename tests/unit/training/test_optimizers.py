"""The two meanings of L2, and what is refused."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from hpc_sweep.errors import UserError
from hpc_sweep.training import optimizers
from hpc_sweep.training.descent import Descent

NODES = {
    "adam": {"name": "adam", "lr": 0.01, "betas": [0.9, 0.999], "l2": 0.02, "l2_as": "penalty", "clip_norm": None},
    "adamw": {"name": "adamw", "lr": 0.01, "betas": [0.9, 0.999], "l2": 0.02, "l2_as": "penalty", "clip_norm": None},
    "sgd": {
        "name": "sgd",
        "lr": 0.01,
        "momentum": 0.9,
        "nesterov": True,
        "l2": 0.02,
        "l2_as": "penalty",
        "clip_norm": None,
    },
}


def trained(name, steps=5, **changes):
    """Return the parameters of a small float64 network after some steps, the way the trainer takes them."""
    cfg = OmegaConf.create({**NODES[name], **changes})
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).double()
    x, y = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 2
    params = dict(net.named_parameters())
    optimizer = optimizers.build(params, cfg)
    descent = Descent([optimizers.recipe(cfg)], next(iter(params.values())))
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        rows = [value.detach().unsqueeze(0) for value in params.values()]
        descent.correct([value.grad.unsqueeze(0) for value in params.values()], rows)
        optimizer.step()
    return params


def by_hand(name, steps=5, **changes):
    """Return the same parameters, the penalty and the clipping written as one would in plain PyTorch."""
    cfg = OmegaConf.create({**NODES[name], **changes})
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).double()
    x, y = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 2
    params = dict(net.named_parameters())
    optimizer = optimizers.build(params, OmegaConf.create({**cfg, "l2": 0.0}))
    for _ in range(steps):
        optimizer.zero_grad()
        penalty = cfg.l2 * sum(value.square().sum() for value in optimizers.weights(params).values())
        (nn.functional.cross_entropy(net(x), y) + penalty).backward()
        if cfg.clip_norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), cfg.clip_norm)
        optimizer.step()
    return params


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_penalty_and_clipping_are_those_of_plain_pytorch(name, clip_norm):
    """Wherever the penalty is added, training equals the sum of squares in the loss, clipped as torch clips."""
    found, expected = trained(name, clip_norm=clip_norm), by_hand(name, clip_norm=clip_norm)

    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-10)


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

    assert optimizers.recipe(cfg).l2 == 0
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
    assert optimizers.recipe(cfg).l2 == 0


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"name": "rmsprop"}, "optimizer=adam, optimizer=adamw, optimizer=sgd"),
        ({"l2_as": "hope"}, "optimizer.l2_as=penalty"),
        ({"lr": 0.0}, "optimizer.lr=0.001"),
        ({"lr": float("nan")}, "optimizer.lr=0.001"),
        ({"l2": -1.0}, "optimizer.l2=0.0001"),
        ({"clip_norm": 0.0}, "optimizer.clip_norm=1.0"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_type(changes, hint):
    """A wrong name or number is a UserError that shows a right one."""
    cfg = OmegaConf.create({**NODES["adam"], **changes})

    with pytest.raises(UserError, match=hint):
        optimizers.build(dict(nn.Linear(2, 2).named_parameters()), cfg)


def rates(node, epochs=4):
    """Return the learning rate of each epoch."""
    params = dict(nn.Linear(2, 2).named_parameters())
    optimizer = optimizers.build(params, OmegaConf.create(NODES["sgd"]))
    scheduler = optimizers.schedule(optimizer, OmegaConf.create(node), epochs)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return found


def test_schedules_are_what_their_names_say():
    """Constant stays, exponential falls by a factor an epoch, cosine from the whole rate towards zero."""
    assert rates({"name": "constant"}) == [0.01] * 4
    assert rates({"name": "exponential", "factor": 0.5}) == [0.01, 0.005, 0.0025, 0.00125]
    assert rates({"name": "cosine"}) == pytest.approx([0.01, 0.0085355, 0.005, 0.0014645], rel=1e-4)
    with pytest.raises(UserError, match="schedule=cosine"):
        rates({"name": "warm"})
