"""Whether training is equally steady at all learning rates: divergence and the roughness of the curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.distributions import kruskal_wallis
from hpc_sweep.analysis.table import level_text
from hpc_sweep.analysis.testing import Deduction, graded, probability
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpc_sweep.analysis.table import Configuration, Evidence

RATES = frozenset({"lr", "learning_rate", "eta", "base_lr", "max_lr"})
_FEWEST_EPOCHS, _FEWEST = 5, 3


def stability(evidence: Evidence) -> Iterator[Deduction]:
    """Compare how much the curves jump from epoch to epoch between the learning rates (Kruskal and Wallis)."""
    for name, levels in evidence.space.levels.items():
        if name.rpartition(".")[2] not in RATES or len(levels) < 2:  # noqa: PLR2004 because one level compares to none
            continue
        groups: dict[str, list[Configuration]] = {level_text(level): [] for level in levels}
        for one in evidence.configurations:
            if name in one.params:
                groups[level_text(one.params[name])].append(one)
        rough = {level: _roughness(group, evidence.objective.metric) for level, group in groups.items()}
        usable = {level: values for level, values in rough.items() if len(values) >= _FEWEST}
        diverged = {level: _diverged(group) for level, group in groups.items()}
        if len(usable) > 1 and np.ptp(np.concatenate(list(usable.values()))) > 0:
            yield _told(name, usable, diverged)


def _told(name: str, rough: Mapping[str, Sequence[float]], diverged: Mapping[str, int]) -> Deduction:
    """Return the sentence; levels are texts, because a level may be a list."""
    p = kruskal_wallis([np.asarray(values) for values in rough.values()])
    medians = {level: float(np.median(values)) for level, values in rough.items()}
    roughest = max(medians, key=lambda level: medians[level])
    listed = ", ".join(f"{name}={level} {medians[level]:.2g}" for level in medians)
    n = sum(map(len, rough.values()))
    numbers = f"(median jump between epochs: {listed}; Kruskal and Wallis, {probability(p)}, n = {n} configurations)"
    grade = graded(p)
    lead = (
        f"Training is least steady at {name}={roughest}"
        if grade != "not resolved"
        else f"Whether training is equally steady at all values of {name} is not resolved"
    )
    ended = [f"{count} trials diverged at {name}={level}" for level, count in diverged.items() if count]
    after = f" {', '.join(ended)}." if ended else ""
    evidence = {"test": "learning-rate stability", "name": name, "p": p, "n": n}
    told = {"medians": [[level, median] for level, median in medians.items()]}
    return Deduction(f"{lead} {numbers}.{after}", grade, evidence | told)


def _roughness(configurations: Sequence[Configuration], metric: str) -> list[float]:
    """Return for each configuration the sd of the second differences over the later half of its curves."""
    found = []
    for one in configurations:
        curves = [curve for run in one.scored if len(curve := run.curve(metric)) >= _FEWEST_EPOCHS]
        jumps = [_second_differences(np.asarray(curve[len(curve) // 2 - 1 :])) for curve in curves]
        values = np.concatenate(jumps) if jumps else np.zeros(0)
        if values.size and np.isfinite(values).all():
            found.append(math.sqrt(float(np.mean(values**2)) / 6))  # a second difference has 6 times the variance
    return found


def _second_differences(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[2:] - 2 * values[1:-1] + values[:-2])


def _diverged(configurations: Sequence[Configuration]) -> int:
    return sum(run.status is Status.DIVERGED for one in configurations for run in one.observations)
