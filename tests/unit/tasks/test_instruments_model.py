"""The network: its shapes, its size, what it refuses."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.model import build


def node(**changes):
    """Return a model node."""
    return OmegaConf.create({"channels": [16, 32, 64, 256], "dropout": 0.4, **changes})


@pytest.mark.parametrize(("channels", "parameters"), [([16, 32, 64, 256], 174_203), ([32, 64, 128, 256], 391_147)])
def test_the_shipped_networks_have_their_size(channels, parameters):
    """Four blocks and a linear layer, counted parameter by parameter."""
    pairs = list(zip([1, *channels], channels, strict=False))
    by_hand = sum(9 * a * b + 2 * b for a, b in pairs) + channels[-1] * 11 + 11
    network = build(node(channels=channels), 32, 11)

    assert sum(parameter.numel() for parameter in network.parameters()) == by_hand == parameters


def test_pictures_become_logits():
    """The size of the pictures is free down to one that four blocks halve to a point."""
    network = build(node(), 16, 11).eval()

    assert network(torch.zeros(3, 1, 16, 16)).shape == (3, 11)
    assert network(torch.zeros(2, 1, 33, 47)).shape == (2, 11)


def test_dropout_is_as_configured():
    """The swept value reaches the layer."""
    rates = [module.p for module in build(node(dropout=0.3), 32, 11).modules() if isinstance(module, nn.Dropout)]

    assert rates == [0.3]


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_probability_is_refused(dropout):
    """One would drop everything."""
    with pytest.raises(UserError, match=r"model\.dropout=0\.5"):
        build(node(dropout=dropout), 32, 11)


def test_pictures_too_small_for_the_blocks_are_refused():
    """Eight pixels cannot be halved four times."""
    with pytest.raises(UserError, match=r"data\.size=16"):
        build(node(), 8, 11)
