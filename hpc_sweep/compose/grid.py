"""How many trials a command asks for, counted before Hydra composes the first of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, RangeSweep
from omegaconf import OmegaConf

from hpc_sweep.compose.trials import parse
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


def refuse_too_large(config: DictConfig, most: int) -> None:
    """Refuse a grid that is so large that it is more likely a slip; other sweepers than Hydra's own have no grid."""
    if not config.hydra.sweeper.get("_target_", "").endswith("BasicSweeper"):
        return
    trials = size(config)
    if trials > most:
        raise UserError(
            f"The grid has {trials:,} trials, and hydra.launcher.max_trials={most} at most are planned.",
            next_step=f"Mend the ranges of the command; if all of it is meant, add hydra.launcher.max_trials={trials}",
        )


def size(config: DictConfig) -> int:
    """Return the number of trials of the grid that the command line and ``hydra.sweeper.params`` span together."""
    # Unresolved: an override may hold an interpolation that only a running job can resolve.
    hydra: Any = OmegaConf.to_container(config.hydra, resolve=False)
    params = hydra["sweeper"].get("params") or {}
    spanned = parse([*(f"{name}={values}" for name, values in params.items()), *hydra["overrides"]["task"]])
    return math.prod({one.key_or_group: _levels(one) for one in spanned}.values())


def _levels(override: Override) -> int:
    value = override.value() if override.is_sweep_override() else None
    if isinstance(value, ChoiceSweep):
        return max(len(value.list), 1)
    if isinstance(value, RangeSweep):
        first, last = float(value.start or 0), float(value.stop or 0)
        return max(math.ceil((last - first) / float(value.step)), 1)
    return 1
