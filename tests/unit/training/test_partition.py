"""What keeps trials out of one stack: any key that is no value, and any attribute that only Python knows."""

from __future__ import annotations

import torch
from torch import nn

from hpc_sweep.training import dropout
from hpc_sweep.training.member import Member
from hpc_sweep.training.partition import partition, signature
from hpc_sweep.trial import Quiet
from tests.unit.training.architectures import Zoo, configuration, grid


def groups(configs, signatures=None):
    """Return the indices of the members of each group."""
    task = Zoo()
    members = [Member.of(task, cfg, Quiet(), index) for index, cfg in enumerate(configs)]
    found = partition(task, members, signatures or [""] * len(members))
    return [[member.index for member in group] for group in found]


def test_values_stack():
    """Dropout, learning rate, L2, betas, smoothing, weights, mixup, seed and epochs may all differ."""
    configs = [
        *grid("batchnorm mlp", 4),
        configuration("batchnorm mlp", optimizer__betas=[0.5, 0.9], label_smoothing=0.1, weighting=True),
        configuration("batchnorm mlp", mixup=0.3, epochs=9, patience=2, optimizer__clip_norm=1.0),
    ]

    assert groups(configs) == [[0, 1, 2, 3, 4, 5]]


def test_shapes_do_not_stack():
    """Architecture, batch size and the kind of optimizer split; groups keep the order of their first trials."""
    configs = [
        configuration("batchnorm mlp"),
        configuration("layernorm mlp"),
        configuration("batchnorm mlp", optimizer__lr=0.5),
        configuration("batchnorm mlp", batch_size=4),
        configuration("layernorm mlp", seed=2),
        configuration("batchnorm mlp", optimizer__name="sgd"),
    ]

    assert groups(configs) == [[0, 2], [1, 4], [3], [5]]


def test_what_cannot_change_a_result_splits_nothing():
    """Excluded keys are no part of a trial."""
    names = ["identity", "patience"]
    configs = [configuration("batchnorm mlp"), configuration("batchnorm mlp", identity__exclude=names)]

    assert groups(configs) == [[0, 1]]


def test_signatures_split():
    """Equal configurations with different models do not stack."""
    assert groups(grid("batchnorm mlp", 3), ["a", "b", "a"]) == [[0, 2], [1]]


class Scaled(nn.Module):
    """Keeps a number where only its code finds it."""

    def __init__(self, scale, table=None, hook=None):
        super().__init__()
        self.scale, self.table, self.hook = scale, table, hook
        self.layer = nn.Linear(2, 2)


def test_an_attribute_that_differs_is_seen():
    """A plain number, a nested one, a kept tensor, a setting of a child and its kind all count."""
    plain = signature(Scaled(1.0, {"a": [1, 2]}))

    assert signature(Scaled(1.0, {"a": [1, 2]})) == plain
    assert signature(Scaled(2.0, {"a": [1, 2]})) != plain
    assert signature(Scaled(1.0, {"a": [1, 3]})) != plain
    assert signature(Scaled(torch.ones(2))) != signature(Scaled(torch.zeros(2)))
    assert signature(nn.Sequential(nn.LeakyReLU(0.1))) != signature(nn.Sequential(nn.LeakyReLU(0.2)))
    assert signature(nn.Sequential(nn.ReLU())) != signature(nn.Sequential(nn.GELU()))
    assert signature(nn.Linear(2, 2)) != signature(nn.Linear(2, 2, bias=False))


def test_weights_rates_of_dropout_and_addresses_are_no_difference():
    """What is stacked per trial, or differs between any two objects, splits nothing."""
    models = [nn.Sequential(nn.Linear(2, 2), nn.Dropout(rate)) for rate in (0.1, 0.9)]

    assert signature(dropout.install(models[0])) == signature(dropout.install(models[1]))
    assert signature(Scaled(1.0, hook=lambda: 1)) == signature(Scaled(1.0, hook=lambda: 1))


def test_dropout_in_the_code_of_a_model_splits():
    """A rate that torch's own function takes is an attribute; two of them never share a stack silently."""
    task = Zoo()
    first, second = (task.model(configuration("drawing", dropout=rate)) for rate in (0.1, 0.9))

    assert signature(first) != signature(second)
