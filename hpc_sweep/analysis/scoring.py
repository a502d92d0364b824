"""From what was observed to the scores that are judged: who may win, and every number so that larger is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc_sweep.analysis.scores import Scores
from hpc_sweep.analysis.table import PROPORTIONS
from hpc_sweep.records import canonical
from hpc_sweep.space import is_number
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.analysis.table import Configuration, Evidence, Observation
    from hpc_sweep.objective import Objective

_CLOSE = 1e-6
_NO_SHARE = 2.0
_DIGITS = frozenset("01")


@dataclass(frozen=True)
class Scale:
    """How a value of the metric becomes a score: ``offset + sign * value``, larger is better.

    A share of the evaluation examples stays a share; of anything else that lies between 0 and 1 the offset says that it
    is none, so that nobody takes it for a count of examples.
    """

    sign: int = 1
    offset: float = 0.0

    @classmethod
    def of(cls, evidence: Evidence) -> Scale:
        """Return the scale of the objective's metric."""
        sign = 1 if evidence.objective.mode == "max" else -1
        if evidence.evaluation.proportion:
            return cls(sign, 0.0 if sign == 1 else 1.0)
        like_a_share = all(0 <= sign * one.value <= 1 for one in evidence.scored)
        return cls(sign, _NO_SHARE if like_a_share else 0.0)

    def score(self, value: float) -> float:
        """Return the score of a value."""
        return self.offset + self.sign * value

    def value(self, score: float) -> float:
        """Return the value that has a score."""
        return self.sign * (score - self.offset)


@dataclass(frozen=True)
class Scoring:
    """The configurations that are judged with their scores; ``observations`` has one for each row of the scores.

    ``excluded`` says why a configuration cannot win, by the number of its first trial. ``divergence_ignored``: every
    configuration with a score also diverged in some replicate, so that this could not count against any.
    """

    configurations: tuple[Configuration, ...]
    observations: tuple[Observation, ...]
    scores: Scores
    scale: Scale
    excluded: Mapping[int, str]
    divergence_ignored: bool


def scoring(evidence: Evidence) -> Scoring | None:
    """Return the scores of all configurations that may win, or None when nothing can be ranked.

    A configuration is left out when a constraint does not hold for its means, and when one of its replicates diverged,
    because leaving out the bad replicates only would flatter it.
    """
    if evidence.objective.mode is None:
        return None
    scored = [one for one in evidence.configurations if one.n]
    excluded = {one.first: why for one in scored if (why := _broken(one, evidence.objective))}
    allowed = [one for one in scored if one.first not in excluded]
    steady = [one for one in allowed if not _diverged(one)]
    kept = steady or allowed
    excluded |= {one.first: _divergence(one) for one in allowed if steady and _diverged(one)}
    if not kept:
        return None
    rows = [(index, one) for index, configuration in enumerate(kept) for one in configuration.scored]
    scale = Scale.of(evidence)
    scores = Scores(
        configurations=[_levels(one.params) for one in kept],
        values=[(index, _label(one), scale.score(one.value)) for index, one in rows],
        items=_items([one for _, one in rows], evidence.objective),
        n_items=evidence.evaluation.size,
        outputs=[_outputs(one) for _, one in rows],
    )
    return Scoring(tuple(kept), tuple(one for _, one in rows), scores, scale, excluded, not steady)


def constraint_values(one: Configuration, objective: Objective) -> dict[str, float]:
    """Return a configuration's mean of every metric that a constraint names, NaN where it has none."""
    names = [constraint.metric for constraint in objective.limits]
    return {name: _mean([run.metrics.get(name, math.nan) for run in one.scored]) for name in names}


def _broken(one: Configuration, objective: Objective) -> str:
    """Return the first constraint that does not hold for the configuration's means, empty when all hold."""
    values = constraint_values(one, objective)
    broken = [limit for limit in objective.limits if not limit.holds(values[limit.metric])]
    if not broken:
        return ""
    value = values[broken[0].metric]
    told = "is not there" if math.isnan(value) else f"= {value:.4g}"
    return f"{broken[0].metric} {told}, against the constraint {broken[0]}"


def _diverged(one: Configuration) -> list[int]:
    return [run.trial.number for run in one.observations if run.status is Status.DIVERGED]


def _divergence(one: Configuration) -> str:
    return f"{len(_diverged(one))} of {len(one.observations)} replicates diverged"


def _levels(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return levels that can be compared and hashed; lists and mappings become their JSON."""
    return {
        name: value if value is None or isinstance(value, str | int | float) else canonical(value)
        for name, value in params.items()
    }


def _label(one: Observation) -> str | None:
    return None if one.trial.replicate is None else canonical(one.trial.replicate)


def _outputs(one: Observation) -> str:
    """Return all that the trial measured: with another metric beside the score, equal outputs are no coincidence."""
    return canonical({name: value for name, value in sorted(one.metrics.items()) if math.isfinite(value)})


def _items(observations: Sequence[Observation], objective: Objective) -> list[np.ndarray] | None:
    """Return the outcome of every evaluation item of every run, None unless all have them and they give the score.

    They are ``<split>/correct`` for a share (a text of 0 and 1, or numbers) and ``<split>/items`` for any mean.
    """
    split, _, name = objective.metric.partition("/")
    field = f"{split}/correct" if name in PROPORTIONS else f"{split}/items"
    wrong = name.startswith("error")
    found = []
    for one in observations:
        items = _numbers(one.extras.get(field))
        if items is None:
            return None
        items = 1 - items if wrong else items
        if abs(float(items.mean()) - one.value) > _CLOSE * max(1.0, abs(one.value)):
            return None
        found.append(items if objective.mode == "max" else -items)
    return found if len({len(items) for items in found}) == 1 else None


def _numbers(value: object) -> np.ndarray | None:
    if isinstance(value, str) and value and set(value) <= _DIGITS:
        return np.frombuffer(value.encode("ascii"), dtype=np.uint8) - np.float64(ord("0"))
    if isinstance(value, list) and value and all(map(is_number, value)):
        return np.asarray(value, dtype=float)
    return None


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan
