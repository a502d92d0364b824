"""Random numbers by key: the same everywhere, and as random as they are meant to be."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hpc_sweep.training import dropout, streams
from hpc_sweep.training.streams import Purpose

CPU = torch.device("cpu")
KEY_1_ORDER_3 = 5931115831176027015
COUNT = 1 << 20


def key(seed=1, *counters, purpose=Purpose.DROPOUT):
    """Return one key as a tensor."""
    return torch.tensor(streams.key(seed, purpose, *counters))


def test_a_key_is_the_same_in_every_process():
    """Keys are digests, not Python's salted hashes; this one must never change, for it would change every result."""
    assert streams.key(1, Purpose.ORDER, 3) == KEY_1_ORDER_3


def test_the_numbers_are_splitmix64():
    """The published generator's first three outputs for the seed 1234567, less its first increment."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = streams.bits(torch.tensor(1234567 + 0x9E3779B97F4A7C15 - (1 << 64)), 3)

    assert [number % (1 << 64) for number in found.tolist()] == published


def test_every_part_of_a_key_matters():
    """Seed, purpose and each counter lead to streams of their own."""
    keys = {
        streams.key(seed, purpose, epoch, step)
        for seed in range(4)
        for purpose in Purpose
        for epoch in range(12)
        for step in range(12)
    }

    assert len(keys) == 4 * len(Purpose) * 12 * 12
    assert streams.key(1, Purpose.ORDER, 11) != streams.key(1, Purpose.ORDER, 1, 1)


def test_many_keys_at_once_give_what_each_gives_alone():
    """Neighbours in a tensor of keys change nothing, in any of the shapes."""
    keys = torch.stack([key(seed) for seed in range(5)])

    for draw in (
        lambda k: streams.uniform(k, 3, 4),
        lambda k: streams.lanes(k, 7),
        lambda k: streams.sites(k, ("a", "b")),
    ):
        assert torch.equal(draw(keys), torch.stack([draw(one) for one in keys]))
    together = streams.steps(keys.tolist(), 6, CPU)
    assert torch.equal(together[:, 2], streams.steps([int(keys[2])], 6, CPU)[:, 0])


def test_fewer_numbers_are_the_first_of_more():
    """A number is a function of its index, not of how many are asked for."""
    assert torch.equal(streams.lanes(key(), 5), streams.lanes(key(), 100)[:5])
    assert torch.equal(streams.uniform(key(), 5), streams.uniform(key(), 100)[:5])


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_uniform_numbers_are_even(seed):
    """Mean, variance and 256 equal bins of a million numbers agree with even ones within five standard errors."""
    numbers = streams.uniform(key(seed), COUNT).double()
    counts = torch.histc(numbers, 256, 0, 1)
    chi_square = ((counts - COUNT / 256) ** 2 / (COUNT / 256)).sum().item()

    assert 0 <= numbers.min() < numbers.max() < 1
    assert abs(numbers.mean().item() - 0.5) < 5 * math.sqrt(1 / 12 / COUNT)
    assert abs(numbers.var().item() - 1 / 12) < 5 * math.sqrt(1 / 180 / COUNT)
    assert abs(chi_square - 255) < 5 * math.sqrt(2 * 255)


def test_each_of_64_bits_is_a_fair_coin():
    """No bit of the numbers is set more often than the others, within five standard errors."""
    numbers = streams.bits(key(), 1 << 16)
    shares = torch.stack([((numbers >> bit) & 1).double().mean() for bit in range(64)])

    assert (shares - 0.5).abs().max() < 5 * 0.5 / math.sqrt(1 << 16)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (key(1, 1), key(1, 2)),
        (key(1, 1), key(2, 1)),
        (key(1, 1), key(1, 1, purpose=Purpose.AUGMENTATION)),
        (streams.steps([5], 2, CPU)[0, 0], streams.steps([5], 2, CPU)[1, 0]),
        tuple(streams.sites(key(), ("layers.0", "layers.1"))),
        (key(), key() + 1),
    ],
    ids=["epochs", "seeds", "purposes", "steps", "sites", "adjacent"],
)
def test_streams_of_different_keys_are_independent(first, second):
    """A million pairs, and pairs shifted by one, correlate no more than independent ones, within five errors."""
    x, y = (streams.uniform(k, COUNT).double() - 0.5 for k in (first, second))
    bound = 5 / 12 / math.sqrt(COUNT)

    for shift in (-1, 0, 1):
        assert abs((x * y.roll(shift)).mean().item()) < bound
    assert abs((x * x.roll(1)).mean().item()) < bound


def test_the_four_lanes_of_a_number_are_independent():
    """The 16-bit parts of one number are even and do not correlate."""
    parts = streams.lanes(key(), COUNT).double().view(-1, 4) / 2**16
    covariance = torch.cov(parts.T)
    expected = torch.eye(4, dtype=torch.float64) / 12

    assert (covariance - expected).abs().max() < 5 / 12 / math.sqrt(COUNT / 4)


def test_an_order_is_a_permutation_that_the_key_alone_decides():
    """Every item once; each item is first equally often, within five standard errors, over 4,000 orders."""
    orders = torch.stack([streams.permutation(streams.key(seed, Purpose.ORDER), 10) for seed in range(4000)])
    share = torch.bincount(orders[:, 0], minlength=10) / 4000

    assert torch.equal(orders.sort(1).values, torch.arange(10).expand(4000, 10))
    assert torch.equal(orders[7], streams.permutation(streams.key(7, Purpose.ORDER), 10))
    assert (share - 0.1).abs().max() < 5 * math.sqrt(0.1 * 0.9 / 4000)


def test_the_global_generator_is_left_as_it_was_found():
    """What a trial draws changes nothing for who runs in the same process."""
    before = torch.get_rng_state()
    with streams.isolated(CPU):
        streams.seed_global(CPU, KEY_1_ORDER_3)
        torch.rand(5)

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_a_gpu_draws_the_same_numbers():
    """Integers are mixed the same way on every device."""
    keys = torch.stack([key(seed) for seed in range(3)])
    module = dropout.Dropout(0.3)
    module.key = keys[0]
    x = torch.randn(40, 50)

    assert torch.equal(streams.uniform(keys.cuda(), 9, 9).cpu(), streams.uniform(keys, 9, 9))
    assert torch.equal(module.cuda()(x.cuda()).cpu(), module.cpu()(x))


class Mixed(nn.Module):
    """Dropout in a list, under a name, and of channels."""

    def __init__(self, rate):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 3), nn.Dropout(rate))
        self.channels = nn.Dropout2d(rate)
        self.kept = nn.Dropout(0.0)


def counted(rate, **how):
    """Return one module with a key."""
    module = dropout.Dropout(rate, **how)
    module.key = key()
    return module


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.288, 0.5, 0.9, 1.0])
def test_as_much_falls_as_was_asked_and_the_mean_stays(rate):
    """The rate is met within five standard errors; what stays is scaled so that the expectation is kept."""
    out = counted(rate)(torch.ones(COUNT))
    share = (out == 0).double().mean().item()

    assert abs(share - rate) <= 5 * math.sqrt(rate * (1 - rate) / COUNT) + 2**-17
    assert set(out[out != 0].tolist()) <= {counted(rate).scale.item()}
    assert rate == 1 or math.isclose(counted(rate).scale.item(), 1 / (1 - rate), rel_tol=1e-4)


def test_channels_fall_as_a_whole():
    """Dropout of channels keeps or drops each channel of each item, independently."""
    out = counted(0.4, channels=True)(torch.ones(64, 32, 3, 3))
    share = (out == 0).double().mean((-2, -1))

    assert set(share.unique().tolist()) == {0.0, 1.0}
    assert abs(share.mean().item() - 0.4) < 5 * math.sqrt(0.24 / (64 * 32))


def test_dropout_is_off_when_a_model_is_judged():
    """Evaluation returns the very values."""
    x = torch.randn(4, 4)

    assert counted(0.9).eval()(x) is x


def test_low_precision_keeps_the_scale():
    """bfloat16 values are scaled as float32 and rounded once."""
    x = torch.randn(1000, dtype=torch.bfloat16)
    expected = counted(0.3)(x.float()).bfloat16()

    assert torch.equal(counted(0.3)(x), expected)


def test_torchs_dropout_is_replaced_everywhere_and_leaves_no_trace_in_the_state_dict():
    """Every module by its path; a checkpoint of the model has the keys that torch's own would have."""
    plain, counted_model = Mixed(0.25), dropout.install(Mixed(0.25))

    assert list(dropout.places(counted_model)) == ["layers.1", "channels", "kept"]
    assert counted_model.channels.channels
    assert counted_model.state_dict().keys() == plain.state_dict().keys()
    assert isinstance(dropout.install(nn.Dropout(0.5)), dropout.Dropout)


def test_each_place_draws_its_own_values():
    """Two layers of one shape drop different values in the same step, and others in the next."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    places = dropout.places(dropout.install(model))
    keys = streams.sites(streams.steps([key().item()], 2, CPU)[:, 0], tuple(places))
    x = torch.ones(100)
    dropout.tell(places, keys[0])
    first = [model[0](x), model[1](x)]
    dropout.tell(places, keys[1])

    assert not torch.equal(*first)
    assert not torch.equal(model[0](x), first[0])
