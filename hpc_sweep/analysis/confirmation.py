"""What fresh replicates say about the configuration that was named before they ran (step S11)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.distributions import student_quantile
from hpc_sweep.analysis.judge import Judgement, judge
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from hpc_sweep.analysis.leader import Interval
    from hpc_sweep.analysis.scores import Scores

MOST_CONFIRMED = 4  # configurations of the short list that get fresh replicates


@dataclass(frozen=True)
class Confirmation:
    """The fresh score of the configuration ``named`` before, and the judgement of all runs together.

    ``mean`` over its ``n`` fresh replicates, in units of the score, has no winner's curse; ``interval``: 95 %, None for
    one replicate. ``judgement``: all runs, old and fresh, by the same rules. Where it has another leader, that one's
    fresh mean must not be quoted as unbiased, for it was chosen by it; its ``shrunk`` score may.
    """

    named: int
    mean: float
    interval: Interval | None
    n: int
    judgement: Judgement

    @property
    def still_leads(self) -> bool:
        """Whether the configuration that was named leads with all runs, too."""
        return self.judgement.leader == self.named


def to_confirm(judgement: Judgement) -> tuple[int, ...]:
    """Return the configurations that deserve fresh replicates: at most four of the short list, the pick first."""
    others = [index for index in judgement.short_list if index != judgement.pick]
    return (judgement.pick, *others[: MOST_CONFIRMED - 1])


def confirmed(scores: Scores, fresh: Scores, named: int, rule: str = "leader") -> Confirmation:
    """Return what fresh runs say of the configuration that was named before, and judge all runs by the same rules.

    ``fresh`` has the configurations of ``scores`` and runs with replicates that ``scores`` has not. Raises UserError
    for replicates that took part in the choice, and where the configuration that was named has no fresh score.
    """
    used = {label for _, label, _ in scores.values if label is not None}
    stale = sorted({str(label) for _, label, _ in fresh.values if label in used})
    if stale:
        raise UserError(
            f"Replicate {stale[0]} took part in choosing the leader, so it cannot confirm it.",
            next_step="Confirm on replicates that the sweep has not used.",
        )
    values = np.array([score for index, _, score in fresh.values if index == named and not math.isnan(score)])
    if not values.size:
        raise UserError(f"Configuration {named} was named, but none of its fresh runs has a score.")
    return Confirmation(
        named, float(values.mean()), _interval(values), len(values), judge(_joined(scores, fresh), rule)
    )


def _interval(values: np.ndarray) -> Interval | None:
    """Return Student's 95 % interval of a mean; the shifts of the replicates are part of its noise."""
    if len(values) == 1 or not np.all(np.isfinite(values)):
        return None
    half = float(student_quantile(0.975, len(values) - 1) * values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def _joined(scores: Scores, fresh: Scores) -> Scores:
    """Return all runs; what only one of the two recorded about them is left out."""
    both = scores.items is not None and fresh.items is not None
    known = scores.outputs is not None and fresh.outputs is not None
    return replace(
        scores,
        values=[*scores.values, *fresh.values],
        items=[*(scores.items or ()), *(fresh.items or ())] if both else None,
        outputs=[*(scores.outputs or ()), *(fresh.outputs or ())] if known else None,
    )
