"""The engines by name, each made of a crew."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hpc_sweep.training.engines.fused import Fused
from hpc_sweep.training.engines.grouped import Wide
from hpc_sweep.training.engines.names import GROUPED, PACKED, SEQUENTIAL, SPREAD, VMAP
from hpc_sweep.training.engines.packed import Packed
from hpc_sweep.training.engines.sequential import Sequential
from hpc_sweep.training.engines.vmapped import Vmapped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpc_sweep.training.engines.base import Crew, Engine

ENGINES: Mapping[str, Callable[[Crew], Engine]] = {
    SEQUENTIAL: Sequential,
    PACKED: Packed,
    VMAP: lambda crew: Fused(VMAP, crew, Vmapped),
    GROUPED: lambda crew: Fused(GROUPED, crew, Wide),
    SPREAD: lambda crew: Fused(SPREAD, crew, partial(Wide, spread=True)),
}
"""``grouped-spread`` is the grouped engine for models whose first steps cannot share one input."""
