"""Which configurations are beaten in no metric without being better in another: the Pareto front."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.analysis.table import Configuration, Evidence
    from hpc_sweep.objective import Limit

UPWARD = frozenset(
    {
        "accuracy",
        "acc",
        "f1",
        "f1_score",
        "macro_f1",
        "micro_f1",
        "precision",
        "recall",
        "auc",
        "auroc",
        "ndcg",
        "iou",
        "dice",
        "lrap",
        "map",
    }
)
DOWNWARD = frozenset({"loss", "error", "error_rate", "cross_entropy", "ce", "rmse", "mse", "mae", "perplexity"})
"""Metrics whose direction their name tells, by its last part; others have one when a constraint gives it."""

_MOST = 6


def directions(evidence: Evidence) -> dict[str, int]:
    """Return the metrics of the objective's split that have a direction, the objective's first; 1 is upward."""
    objective = evidence.objective
    if objective.mode is None:
        return {}
    found = {objective.metric: 1 if objective.mode == "max" else -1}
    found |= {limit.metric: _of(limit) for limit in objective.limits if limit.metric not in found}
    split = objective.metric.partition("/")[0]
    names = sorted({name for one in evidence.scored for name in one.metrics if name.startswith(f"{split}/")})
    for name in names:
        last = name.partition("/")[2]
        if name not in found and (last in UPWARD or last in DOWNWARD):
            found[name] = 1 if last in UPWARD else -1
    return dict(list(found.items())[:_MOST])


def front(evidence: Evidence) -> tuple[dict[str, Any], ...]:
    """Return the configurations on the front of all metrics with a direction, by their means, best first.

    Nothing is said about noise here. Empty where fewer than two metrics have a direction.
    """
    ways = directions(evidence)
    if len(ways) < 2:  # noqa: PLR2004 because one metric has a best, not a front
        return ()
    points = [(one, values) for one in evidence.configurations if (values := means(one, ways)) is not None]
    # In this order nobody is beaten by a later one, so that each is compared with the front so far only.
    points.sort(key=lambda pair: (*(-way * pair[1][name] for name, way in ways.items()), pair[0].first))
    best: list[tuple[Configuration, dict[str, float]]] = []
    for one, values in points:
        if not any(_beats(other, values, ways) for _, other in best):
            best.append((one, values))
    return tuple({"configuration": dict(one.params), "trials": one.trials, "metrics": values} for one, values in best)


def elected(evidence: Evidence) -> dict[str, Configuration]:
    """Return which configuration each metric would elect by its mean alone."""
    ways = directions(evidence)
    points = [(one, values) for one in evidence.configurations if (values := means(one, ways)) is not None]
    return {
        name: max(points, key=lambda pair: (way * pair[1][name], -pair[0].first))[0]
        for name, way in ways.items()
        if points
    }


def means(one: Configuration, names: Mapping[str, int]) -> dict[str, float] | None:
    """Return a configuration's means, or None where one is missing."""
    found = {name: _mean([run.metrics.get(name, math.nan) for run in one.scored]) for name in names}
    return found if one.n and all(map(math.isfinite, found.values())) else None


def _of(limit: Limit) -> int:
    return 1 if limit.sign == ">=" else -1


def _beats(left: Mapping[str, float], right: Mapping[str, float], ways: Mapping[str, int]) -> bool:
    """Tell whether the left is nowhere worse and somewhere better."""
    gaps = [way * (left[name] - right[name]) for name, way in ways.items()]
    return min(gaps) >= 0 and max(gaps) > 0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
