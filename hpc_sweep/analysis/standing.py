"""Where each configuration stands: the judgement of the scores in the metric's own direction, best first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from hpc_sweep.analysis.intervals import t95, wilson
from hpc_sweep.analysis.judge import RULES, judge

if TYPE_CHECKING:
    from hpc_sweep.analysis.judge import Judgement
    from hpc_sweep.analysis.leader import Interval
    from hpc_sweep.analysis.scoring import Scoring
    from hpc_sweep.analysis.table import Configuration
    from hpc_sweep.objective import Objective

_EQUAL = 1e-9


@dataclass(frozen=True)
class Place:
    """One ranked configuration. ``shrunk``, ``interval`` and ``difference`` are None where it collapsed.

    All numbers are in the metric's own units and direction; ``difference`` is how far the leader's shrunk score is
    ahead, ``observed`` the mean freed of what each replicate does to all configurations alike.
    """

    configuration: Configuration
    index: int
    observed: float
    shrunk: float | None
    standard_error: float | None
    interval: Interval | None
    difference: float | None
    replicates: int
    tied: bool
    short: bool
    collapsed: bool


@dataclass(frozen=True)
class Standing:
    """A judgement with its configurations in order; the first place is the pick."""

    places: tuple[Place, ...]
    judgement: Judgement
    scoring: Scoring

    @cached_property
    def tied(self) -> frozenset[int]:
        """The configurations of the tie set."""
        return frozenset(self.judgement.tie_set)

    @cached_property
    def short(self) -> frozenset[int]:
        """The configurations of the short list."""
        return frozenset(self.judgement.short_list)

    @cached_property
    def silent(self) -> bool:
        """Whether all replicates of every configuration gave the same score, but for rounding."""
        scores = [abs(score) for score in self.judgement.scores if math.isfinite(score)]
        return self.judgement.sd <= _EQUAL * max(scores, default=0.0)

    @property
    def verdict(self) -> tuple[str, str]:
        """The verdict and its reason.

        Replicates that are all equal show no noise; and where nothing at all is known of the evaluation set, nobody is
        called better on others.
        """
        judgement = self.judgement
        if self.silent:
            reason = "Replicates do not differ, but for what all configurations share, so that no noise can be seen."
            return "cannot_tell", reason
        if (
            judgement.verdict == "resolved"
            and judgement.evaluation == "unknown"
            and self.scoring.scores.n_items is None
        ):
            return "leading", f"{judgement.reason} But nothing is known of the evaluation set's noise."
        return judgement.verdict, judgement.reason

    @property
    def pick(self) -> Place:
        """The configuration that is picked."""
        return self.places[0]

    def value(self, score: float | None) -> float | None:
        """Return a score in the metric's own direction, None for what is not known."""
        return None if score is None or not math.isfinite(score) else self.scoring.scale.value(score)

    def span(self, interval: Interval | None) -> Interval | None:
        """Return an interval in the metric's own direction."""
        if interval is None or not all(map(math.isfinite, interval)):
            return None
        low, high = sorted(map(self.scoring.scale.value, interval))
        return low, high


def standing(scoring: Scoring) -> Standing:
    """Judge the scores and put every configuration in its place: the pick, then by shrunk score, collapsed ones last.

    Equal shrunk scores go by the observed one, then by the lowest trial number.
    """
    judgement = judge(scoring.scores)
    base = Standing((), judgement, scoring)
    step = _EQUAL * max([1e-12, *(abs(score) for score in judgement.shrunk_scores if math.isfinite(score))])
    order = sorted(range(len(scoring.configurations)), key=lambda index: _key(judgement, scoring, step, index))
    return Standing(tuple(_place(base, index) for index in order), judgement, scoring)


def rule_words(standing: Standing, objective: Objective) -> str:
    """Say how the configurations were ranked and which one was picked."""
    when = "at the last epoch" if objective.at == "last" else "at each trial's own best epoch"
    order = "highest" if objective.mode == "max" else "lowest"
    judgement = standing.judgement
    rule = RULES[judgement.rule].replace("highest", order)
    limits = f"Only configurations that keep to {' and '.join(map(str, objective.limits))} can be picked. "
    return (
        f"A configuration is scored by its mean of {objective.metric} {when} over its replicates, drawn towards what "
        "its hyperparameters' levels predict by as much as the noise demands (the shrunk score). The pick is "
        f"{rule}, exact ties go to the better observed mean, then the lowest trial number; its expected loss against "
        f"the leader is {judgement.expected_loss:.3g}. Tied with it are those whose shrunk score is behind by no more "
        f"than noise can do. {limits if objective.limits else ''}{standing.verdict[1]}"
    )


def _key(judgement: Judgement, scoring: Scoring, step: float, index: int) -> tuple[bool, bool, float, float, int]:
    shrunk = judgement.shrunk_scores[index]
    collapsed = not math.isfinite(shrunk)
    rounded = 0.0 if collapsed else round(shrunk / step) * step
    observed = judgement.scores[index]
    return index != judgement.pick, collapsed, -rounded, -observed, scoring.configurations[index].first


def _place(base: Standing, index: int) -> Place:
    judgement, one = base.judgement, base.scoring.configurations[index]
    shrunk, error = judgement.shrunk_scores[index], judgement.standard_errors[index]
    collapsed = not math.isfinite(shrunk)
    observed = base.value(judgement.scores[index])
    return Place(
        configuration=one,
        index=index,
        observed=one.mean if observed is None else observed,
        shrunk=base.value(shrunk),
        standard_error=None if collapsed else error,
        interval=base.span(_interval(base, index)),
        difference=None if collapsed else judgement.shrunk - shrunk,
        replicates=judgement.runs[index],
        tied=index in base.tied,
        short=index in base.short,
        collapsed=collapsed,
    )


def _interval(base: Standing, index: int) -> Interval | None:
    """Return the 95 % interval given the replicates used; of others than the leader with the leader's quantile."""
    judgement = base.judgement
    if judgement.interval is None or base.silent:
        return None
    if index == judgement.leader:
        return judgement.interval
    shrunk, error = judgement.shrunk_scores[index], judgement.standard_errors[index]
    if not math.isfinite(shrunk):
        return None
    half = t95(max(1, int(judgement.df))) * error
    low, high = shrunk - half, shrunk + half
    size = base.scoring.scores.n_items
    if judgement.evaluation != "bound" or size is None:
        return low, high
    bottom, top = wilson(min(max(shrunk, 0.0), 1.0), size)
    return min(low, bottom), max(high, top)
