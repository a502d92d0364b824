"""What a sweep is judged by: the metric, its direction, when it is read, what the replicate is."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

MODES = ("max", "min")
EPOCHS = ("last", "best")
FIELDS = ("metric", "mode", "at", "replicate", "constraints", "baseline", "confirm")

_ASKED = frozenset({"constraints", "baseline", "confirm"})
_MOST_FRESH = 1000
_LIMIT = re.compile(r"\s*(?P<metric>[^<>=\s]+/[^<>=\s]+)\s*(?P<sign>>=|<=)\s*(?P<bound>[-+0-9.eE]+)\s*")


@dataclass(frozen=True)
class Limit:
    """A constraint on another metric, `val/precision >= 0.9`: a configuration that breaks it cannot win."""

    metric: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read a metric, `>=` or `<=`, and a number; raise UserError for anything else."""
        found = _LIMIT.fullmatch(text)
        try:
            return cls(found["metric"], found["sign"], float(found["bound"]))  # type: ignore[index]
        except (TypeError, ValueError):
            raise UserError(
                f"'{text}' is no constraint.",
                next_step='Type split/name, >= or <=, and a number: objective.constraints=["val/precision >= 0.9"]',
            ) from None

    def holds(self, value: float) -> bool:
        """Tell whether a value keeps to it; NaN does not."""
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound!r}"


@dataclass(frozen=True)
class Objective:
    """The declared rule by which configurations are compared.

    ``metric`` is ``split/name``; without a ``mode`` nothing is ranked. ``at`` names the epoch whose value counts:
    the last one, or the best one of each trial. ``replicate`` is the key that repeats a configuration.
    ``constraints`` are limits on other metrics that a winner keeps to; ``baseline`` are the levels of the configuration
    that the winner is compared with, else the first one of the plan. ``confirm`` is on how many fresh replicates the
    short list is run once all else has ended; 0 is on none.
    """

    metric: str = "val/objective"
    mode: str | None = None
    at: str = "last"
    replicate: str | None = "seed"
    constraints: tuple[str, ...] = ()
    baseline: Mapping[str, Any] | None = None
    confirm: int = 0

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Objective:
        """Check the fields of a configuration node; raise UserError on what cannot be meant."""
        unknown = sorted(set(given) - set(FIELDS))
        if unknown:
            raise UserError(
                f"The objective has no field '{unknown[0]}'.",
                next_step=f"Its fields are {', '.join(FIELDS)}: objective.metric=val/accuracy objective.mode=max",
            )
        fields = {k: v for k, v in given.items() if v is not None or k in {"mode", "replicate"}}
        if "constraints" in fields:
            asked = fields["constraints"]
            fields["constraints"] = (asked,) if isinstance(asked, str) else tuple(map(str, asked))
        objective = cls(**fields)
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
        if self.baseline is not None and not isinstance(self.baseline, Mapping):
            raise UserError(
                "The baseline is no mapping.", next_step="Type objective.baseline={dropout: 0.5, l2: 0.001}"
            )
        self._check_confirm()
        _ = self.limits

    def _check_confirm(self) -> None:
        if isinstance(self.confirm, bool) or not isinstance(self.confirm, int) or not 0 <= self.confirm <= _MOST_FRESH:
            raise UserError(
                f"objective.confirm={self.confirm} is no number of fresh replicates.",
                next_step="Type objective.confirm=3 to confirm the short list on three, 0 for none.",
            )
        if self.confirm and (self.mode is None or not self.replicate):
            lacks = "direction, so that nothing is ranked" if self.mode is None else "replicate that could be fresh"
            raise UserError(
                f"objective.confirm={self.confirm} cannot be met: the objective has no {lacks}.",
                next_step="Type objective.mode=max (or min) and objective.replicate=<the key of the seed>.",
            )

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The constraints, parsed."""
        return tuple(map(Limit.parse, self.constraints))

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
        """Return the fields as they are recorded; what is not asked for is left out."""
        told = {**asdict(self), "constraints": list(self.constraints)}
        return {name: value for name, value in told.items() if name not in _ASKED or value}
