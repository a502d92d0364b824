"""What varies in a sweep: the swept hyperparameters and the levels that were planned."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.records import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpc_sweep.trial import Trial


def configuration(params: Mapping[str, Any]) -> str:
    """Return the key of a configuration: the same for every replicate of it, whatever the order of its keys."""
    return canonical(dict(params))


def is_number(value: object) -> bool:
    """Tell whether a level can be put on an axis."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= sys.float_info.max  # false for NaN, infinities, and integers that no float can hold


@dataclass(frozen=True)
class Space:
    """The planned levels of each swept hyperparameter, numbers in ascending order, others in order of appearance."""

    levels: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Space:
        """Collect the levels that a plan asks for."""
        seen: dict[str, dict[str, Any]] = {}
        for trial in trials:
            for name, value in trial.params.items():
                seen.setdefault(name, {}).setdefault(canonical(value), value)
        return cls({name: _ordered(list(values.values())) for name, values in seen.items()})

    def edges(self, params: Mapping[str, Any]) -> list[str]:
        """Return the hyperparameters whose value is the smallest or the largest number that was tried."""
        return [name for name, value in params.items() if self._at_edge(name, value)]

    def _at_edge(self, name: str, value: object) -> bool:
        levels = self.levels[name]
        return len(levels) > 1 and all(map(is_number, levels)) and value in (levels[0], levels[-1])


def _ordered(values: list[Any]) -> tuple[Any, ...]:
    return tuple(sorted(values) if all(map(is_number, values)) else values)
