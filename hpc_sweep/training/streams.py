"""Random numbers by key: each is a function of what it is for, and of nothing that happened before.

::

    key = digest(trial seed, purpose, counters)      counters
    initialisation                                   none
    order, mixup                                     epoch
    dropout, augmentation                            epoch; `steps` leads on to each step, `sites` to each module
    number i of a key = mix(key + i * GAMMA)         64 bits, splitmix64

No state is carried from step to step, so a resumed trial continues with the very numbers that it would have drawn,
and what else runs in the process changes nothing. Trials of one seed share their numbers: they start from the same
weights where their shapes agree, and see the same items in the same order. Only integers are mixed, so the numbers
are the same on every device; a tensor of ``K`` keys gives what each key alone would have given.

Initialisation is the one purpose that torch's own functions draw for, from a CPU generator that starts at the key.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

# Steele, Lea and Flood's splitmix64 (OOPSLA 2014), its constants as signed integers.
_GAMMA = -0x61C8864680B583EB
_FIRST, _SECOND = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
_MASK = (1 << 64) - 1


class Purpose(StrEnum):
    """What a random number is for."""

    INITIALISATION = "initialisation"
    ORDER = "order"
    DROPOUT = "dropout"
    AUGMENTATION = "augmentation"
    MIXUP = "mixup"


def key(seed: int, purpose: Purpose, *counters: int) -> int:
    """Return the key, 63 bits, of one stream of a trial."""
    return _digest("/".join([str(seed), purpose, *map(str, counters)]))


def mix(numbers: Tensor) -> Tensor:
    """Scramble int64 numbers one by one; each bit of the result depends on every bit of the number."""
    mixed = (numbers ^ ((numbers >> 30) & (_MASK >> 30))) * _FIRST
    mixed.bitwise_xor_((mixed >> 27).bitwise_and_(_MASK >> 27)).mul_(_SECOND)
    return mixed.bitwise_xor_((mixed >> 31).bitwise_and_(_MASK >> 31))


def bits(keys: Tensor, count: int) -> Tensor:
    """Return the first ``count`` numbers of each key (...) as int64 (..., count)."""
    return mix(keys.unsqueeze(-1) + _steps_of_gamma(count, keys.device))


def uniform(keys: Tensor, *shape: int) -> Tensor:
    """Return numbers of each key (...) even over [0, 1) in steps of 2**-24, as float32 (..., shape)."""
    numbers = (bits(keys, _product(shape)) >> 40) & 0xFFFFFF
    return (numbers.float() * 2.0**-24).view(*keys.shape, *shape)


def lanes(keys: Tensor, count: int) -> Tensor:
    """Return numbers of each key (...) even over -2**15 to 2**15 - 1, as int16 (..., count); four to each 64 bits."""
    return bits(keys, -(-count // 4)).view(torch.int16)[..., :count]


def permutation(key: int, count: int) -> Tensor:
    """Return an order of ``count`` items, on the CPU."""
    return torch.argsort(bits(torch.tensor(key), count), stable=True)


def steps(keys: Sequence[int], count: int, device: torch.device) -> Tensor:
    """Return a key for each of ``count`` steps of each of the ``K`` epochs' keys, (count, K)."""
    return bits(torch.tensor(keys, dtype=torch.int64), count).T.contiguous().to(device)


def sites(keys: Tensor, names: Sequence[str]) -> Tensor:
    """Return a key for each named place of a model, (..., places), from keys (...)."""
    places = torch.tensor([_digest(name) for name in names], dtype=torch.int64, device=keys.device)
    return mix(keys.unsqueeze(-1) ^ places)


def seed_global(device: torch.device, key: int) -> None:
    """Put torch's global generator of a device at the start of a key; a CPU's keeps only the key's low 32 bits."""
    # Not torch.manual_seed: it walks every backend, 0.1 ms a step.
    if device.type == "cuda":
        torch.cuda.manual_seed(key)
    else:
        torch.default_generator.manual_seed(key)


@contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were found."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        yield


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def _product(shape: Sequence[int]) -> int:
    return torch.Size(shape).numel()


@lru_cache(maxsize=64)
def _steps_of_gamma(count: int, device: torch.device) -> Tensor:
    return torch.arange(count, device=device) * _GAMMA
