"""How many CPU threads torch uses: as many as the scheduler granted, one by default."""

from __future__ import annotations

import contextlib

import torch


def limit(threads: int) -> int:
    """Make torch use so many CPU threads for one operation, and one for operations beside each other.

    The number is part of a result's provenance: sums are formed in another order when it changes. Returns the number
    that torch reports.
    """
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        # Torch refuses once work has begun. Nothing here forks operations, so no result depends on it.
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(1)
    return torch.get_num_threads()
