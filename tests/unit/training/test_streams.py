"""Random numbers by key."""

from __future__ import annotations

import torch

from hpc_sweep.training import streams
from hpc_sweep.training.streams import Purpose

CPU = torch.device("cpu")
KEY_1_ORDER_3 = 5931115831176027015


def test_a_key_is_the_same_in_every_process():
    """Keys are digests, not Python's salted hashes; this one must never change, for it would change every result."""
    assert streams.key(1, Purpose.ORDER, 3) == KEY_1_ORDER_3


def test_every_part_of_a_key_matters():
    """Seed, purpose and each counter lead to streams of their own."""
    keys = {
        streams.key(seed, purpose, epoch, step)
        for seed in range(4)
        for purpose in Purpose
        for epoch in range(12)
        for step in range(12)
    }

    assert len(keys) == 4 * 4 * 12 * 12
    assert streams.key(1, Purpose.ORDER, 11) != streams.key(1, Purpose.ORDER, 1, 1)


def test_a_stream_starts_anew_each_time():
    """A generator carries nothing over from one of the same key."""
    first = torch.rand(3, generator=streams.generator(1, Purpose.ORDER, 1))

    assert torch.equal(first, torch.rand(3, generator=streams.generator(1, Purpose.ORDER, 1)))


def test_the_global_generator_is_left_as_it_was_found():
    """What a trial draws changes nothing for who runs in the same process."""
    before = torch.get_rng_state()
    with streams.isolated(CPU):
        streams.seed_global(CPU, 1, Purpose.DROPOUT, 1, 1)
        torch.rand(5)

    assert torch.equal(torch.get_rng_state(), before)
