"""Random numbers by key: each is a function of what it is for, and of nothing that happened before.

::

    key = digest(trial seed, purpose, counters)      counters
    initialisation                                   none
    order                                            epoch
    dropout, augmentation                            epoch, step

No state is carried from step to step, so a resumed trial continues with the very numbers that it would have drawn,
and what else runs in the process changes nothing. Trials of one seed share their numbers: they start from the same
weights where their shapes agree, and see the same items in the same order.

Stock dropout draws from torch's global generator; it is therefore seeded from the step's key before every forward
pass. Note that a CPU generator keeps only the low 32 bits of its seed.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


class Purpose(StrEnum):
    """What a random number is for."""

    INITIALISATION = "initialisation"
    ORDER = "order"
    DROPOUT = "dropout"
    AUGMENTATION = "augmentation"


def key(seed: int, purpose: Purpose, *counters: int) -> int:
    """Return the seed, 63 bits, of one stream of a trial."""
    text = "/".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: Purpose, *counters: int) -> torch.Generator:
    """Return a new CPU generator at the start of one stream of a trial."""
    return torch.Generator().manual_seed(key(seed, purpose, *counters))


def seed_global(device: torch.device, seed: int, purpose: Purpose, *counters: int) -> None:
    """Put torch's global generator of a device at the start of one stream of a trial."""
    # Not torch.manual_seed: it walks every backend, 0.1 ms a step.
    if device.type == "cuda":
        torch.cuda.manual_seed(key(seed, purpose, *counters))
    else:
        torch.default_generator.manual_seed(key(seed, purpose, *counters))


@contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """Leave torch's global generators as they were found."""
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
        yield
