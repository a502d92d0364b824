"""What the numbers of a configuration may be, checked before anything is submitted; needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.irmas import CLASSES

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


METRICS = ("cross_entropy", "accuracy", "macro_f1", *(f"recall_{name}" for name in CLASSES))
"""What is measured on both splits; each class's recall on ``val`` alone."""


def check(cfg: DictConfig) -> None:
    """Raise UserError for the first value that cannot be meant."""
    _check_metric(OmegaConf.select(cfg, "objective.metric"))
    for key, wanted in RANGES.items():
        value = OmegaConf.select(cfg, key)
        if value is not None and not wanted.holds(value):
            raise UserError(
                f"{key}={value} cannot be: it has to be {wanted}.",
                where=f"Key: {key}",
                next_step=f"Type for example {key}={wanted.example:g}",
            )


def _check_metric(metric: object) -> None:
    """Refuse a metric that this task will never measure; one without a split has its own sentence elsewhere."""
    split, slash, name = str(metric).partition("/")
    known = METRICS if split == "val" else (*METRICS[:3], "loss", "penalty")
    if slash and (split not in {"train", "val"} or name not in known):
        raise UserError(
            f"The instruments are not measured by {metric}.",
            where="Key: objective.metric",
            next_step=f"Type one of {', '.join(f'val/{one}' for one in METRICS[:3])}, or val/recall_<class>.",
        )
