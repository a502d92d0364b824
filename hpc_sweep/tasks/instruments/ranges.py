"""What the numbers of a configuration may be, checked before anything is submitted; needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Range:
    """A number, whole or not, between two bounds that it may reach."""

    low: float
    high: float = math.inf
    whole: bool = False
    example: float = 1

    def holds(self, value: object) -> bool:
        """Tell whether a value is such a number."""
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        noun = "a whole number" if self.whole else "a number"
        if self.high == math.inf:
            return f"{noun} of at least {self.low:g}"
        return f"{noun} from {self.low:g} to {self.high:g}"


RANGES = {
    "epochs": Range(1, whole=True, example=15),
    "batch_size": Range(1, whole=True, example=32),
    "model.dropout": Range(0, 1, example=0.4),
    "model.size": Range(16, whole=True, example=32),
    "optimizer.lr": Range(0, example=0.001),
    "optimizer.l2": Range(0, example=0.0001),
    "data.validation": Range(0, 1, example=0.2),
    "data.split_seed": Range(0, whole=True, example=0),
}
"""By dotted key; a key that a configuration lacks is not asked for."""


def check(cfg: DictConfig) -> None:
    """Raise UserError for the first value that cannot be meant."""
    for key, wanted in RANGES.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and not wanted.holds(value):
            raise UserError(
                f"{key}={value} cannot be: it has to be {wanted}.",
                where=f"Key: {key}",
                next_step=f"Type for example {key}={wanted.example:g}",
            )
