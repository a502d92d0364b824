"""What fresh replicates say of the configuration that was named before they ran (step S11).

Its fresh mean has no winner's curse: nobody chose it by these runs. All runs together are judged by the same rules as
before, and may have another leader; that one's own fresh mean would be chosen by it, and is not quoted.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.intervals import t95
from hpc_sweep.records import canonical
from hpc_sweep.space import configuration
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.analysis.judge import Judgement
    from hpc_sweep.analysis.standing import Standing
    from hpc_sweep.analysis.table import Configuration, Evidence, Observation
    from hpc_sweep.ledger import Row

MOST_CONFIRMED = 4
"""How many configurations of the short list get fresh replicates at most."""

_ENDED = frozenset({Status.COMPLETED, Status.DIVERGED, Status.PRUNED, Status.FAILED})


@dataclass(frozen=True)
class Confirmation:
    """The fresh runs of the configuration that was named before, in the metric's own units.

    ``trials`` are those that count, ``n`` of ``planned``; ``over``: none of them is still to come. ``interval``: 95 %,
    for other replicates too; its noise is the variance between all replicates of each configuration, pooled over those
    that did not collapse, with one degree of freedom less than there are different replicates, because these shift all
    configurations alike. None where no configuration was repeated. ``others`` is how many configurations beside the
    named one had fresh replicates.
    """

    configuration: Mapping[str, Any]
    trials: list[int]
    planned: int
    n: int
    over: bool
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    others: int


def to_confirm(judgement: Judgement) -> tuple[int, ...]:
    """Return the configurations that deserve fresh replicates: at most four of the short list, the pick first."""
    others = [index for index in judgement.short_list if index != judgement.pick]
    return (judgement.pick, *others[: MOST_CONFIRMED - 1])


def confirmation(evidence: Evidence, stand: Standing | None) -> Confirmation | None:
    """Return what the fresh runs say of the configuration that they were planned for; None where there are none."""
    part = evidence.ledger.plan.confirmation
    if part is None or part.confirms is None:
        return None
    origins = part.confirms["origins"]
    params = {trial.id: configuration(trial.params) for trial in evidence.ledger.plan.trials}
    named = params[part.confirms["named"]]
    one = next(one for one in evidence.configurations if configuration(one.params) == named)
    runs = [run for run in one.observations if run.trial.id in origins]
    own = {run.trial.id for run in runs}
    scored = [run for run in runs if run.scored]
    values = [run.value for run in scored]
    return Confirmation(
        configuration=one.params,
        trials=[run.trial.number for run in scored],
        planned=len(runs),
        n=len(scored),
        over=all(_ended(row) for row in evidence.ledger.rows if row.trial.id in own),
        mean=math.fsum(values) / len(values) if values else None,
        sd=statistics.stdev(values) if len(values) > 1 else None,
        interval=_interval(values, evidence, stand) if values and stand else None,
        others=len({params[fresh] for fresh in origins}) - 1,
    )


def fresh_trials(evidence: Evidence) -> frozenset[str]:
    """Return the ids of the trials that were planned to confirm, and so are no part of the design."""
    part = evidence.ledger.plan.confirmation
    return frozenset() if part is None else frozenset(trial.id for trial in part.trials)


def of_the_design(one: Configuration, fresh: frozenset[str]) -> list[Observation]:
    """Return the scored runs of a configuration without those that confirm."""
    return [run for run in one.scored if run.trial.id not in fresh]


def _ended(row: Row) -> bool:
    """Tell whether a trial has its last word: a failure that will be tried again is none."""
    error = (row.failure or {}).get("error") or {}
    return row.status in _ENDED and not (row.status is Status.FAILED and error.get("retryable", False))


def _interval(values: Sequence[float], evidence: Evidence, stand: Standing) -> tuple[float, float] | None:
    collapsed = set(stand.judgement.collapsed)
    kept = [one for index, one in enumerate(stand.scoring.configurations) if index not in collapsed]
    replicates = {canonical(run.trial.replicate) for one in kept for run in one.scored}
    found = fresh_interval(values, [(one.n, one.squares) for one in kept], len(replicates))
    if found is None or not evidence.evaluation.proportion:
        return found
    return max(found[0], 0.0), min(found[1], 1.0)


def fresh_interval(
    values: Sequence[float], spread: Sequence[tuple[int, float]], replicates: int
) -> tuple[float, float] | None:
    """Return the 95 % interval of the true score by its fresh ``values``; None where nothing was repeated.

    ``spread``: how often each configuration ran, with the sum of its squared deviations from its mean; ``replicates``:
    how many different ones there were.
    """
    df = sum(n - 1 for n, _ in spread)
    if not df or replicates == 1:
        return None
    mean = math.fsum(values) / len(values)
    noise = math.fsum(squares for _, squares in spread) / df
    half = t95(min(df, replicates - 1)) * math.sqrt(noise / len(values))
    return mean - half, mean + half
