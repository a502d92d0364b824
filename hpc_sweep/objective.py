"""What a sweep is judged by: the metric, its direction, when it is read, what the replicate is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODES = ("max", "min")
EPOCHS = ("last", "best")
FIELDS = ("metric", "mode", "at", "replicate")


@dataclass(frozen=True)
class Objective:
    """The declared rule by which configurations are compared.

    ``metric`` is ``split/name``; without a ``mode`` nothing is ranked. ``at`` names the epoch whose value counts:
    the last one, or the best one of each trial. ``replicate`` is the key that repeats a configuration.
    """

    metric: str = "val/objective"
    mode: str | None = None
    at: str = "last"
    replicate: str | None = "seed"

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Objective:
        """Check the fields of a configuration node; raise UserError on what cannot be meant."""
        unknown = sorted(set(given) - set(FIELDS))
        if unknown:
            raise UserError(
                f"The objective has no field '{unknown[0]}'.",
                next_step=f"Its fields are {', '.join(FIELDS)}: objective.metric=val/accuracy objective.mode=max",
            )
        objective = cls(**{k: v for k, v in given.items() if v is not None or k in {"mode", "replicate"}})
        objective._check()
        return objective

    def _check(self) -> None:
        if "/" not in self.metric.strip("/"):
            raise UserError(
                f"The metric '{self.metric}' does not say on which split it was measured.",
                next_step=f"Write it as split/name, for example objective.metric=val/{self.metric.strip('/')}",
            )
        if self.mode is not None and self.mode not in MODES:
            raise UserError(f"The mode '{self.mode}' is no direction.", next_step="Type objective.mode=max or =min")
        if self.at not in EPOCHS:
            raise UserError(f"'{self.at}' is no epoch rule.", next_step="Type objective.at=last or objective.at=best")

    def score(self, value: float) -> float:
        """Return a number that is larger for the better value, and -inf for what cannot be ranked."""
        if self.mode is None or not math.isfinite(value):
            return -math.inf
        return value if self.mode == "max" else -value

    def epoch(self, curve: Sequence[float]) -> int:
        """Return the index of the epoch that counts on a trial's own curve of the metric."""
        if self.at == "last" or self.mode is None or not curve:
            return len(curve) - 1
        return max(range(len(curve)), key=lambda index: (self.score(curve[index]), -index))

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are recorded."""
        return asdict(self)
