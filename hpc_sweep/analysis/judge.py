"""The judgement of a sweep: leader, ties, verdict and pick, from the scores of its runs (the procedure S0 to S9).

::

    Scores -> cells (S0) -> aligned means (S1) -> collapsed tail cut (S2) -> noise (S3) -> factorial posterior (S4)
           -> leader and score (S5, S6) -> tie set (S7) -> verdict (S8) -> pick (S9) = Judgement

What it holds for: additive or interacting effects on a grid, common or separate replicates, ragged tables; a continuous
hyperparameter of a random search lends strength by classes of its values. In an adaptive search better regions get more
runs, which the model does not know; `design.Design` finds such tables and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc_sweep.analysis.model import Model, fit_model
from hpc_sweep.analysis.replication import held_out, replicates_needed
from hpc_sweep.analysis.scores import Scores, twins
from hpc_sweep.analysis.ties import QUARTER, Ties, find_ties, near_leader
from hpc_sweep.analysis.verdict import Verdict, decide

if TYPE_CHECKING:
    from hpc_sweep.analysis.leader import Interval
    from hpc_sweep.analysis.scores import Array

__all__ = ["RULES", "Judgement", "Scores", "judge"]

RULES = {
    "leader": "the highest shrunk score",
    "simplest": "the simplest configuration within a quarter of a standard error of the highest shrunk score",
}


@dataclass(frozen=True)
class Judgement:
    """What the scores of a sweep allow to say. Indices count in ``Scores.configurations``; scores are in its units.

    The leader
        ``leader``; its score ``observed`` c_L and ``shrunk`` m_L; ``interval`` (95 %, for the mean over the replicates
        and the evaluation set that were used) and ``absolute`` (95 %, for others too). Where one replicate shows no
        noise both are None and ``bracket`` is the range between shrunk and observed, which is no interval.
        ``cavity_z`` above 3: it ``stands_out`` from its neighbours, and only fresh replicates can confirm it.
        ``held_out``: mean score of winners chosen without the replicate that scores them, a check that needs no model
        and errs low.
    The noise
        ``sd`` between replicates of one configuration (aligned, pooled), with ``df``; ``paired``: replicates are
        shared; ``rerun_sd``, ``rerun_df``: between runs of one configuration and replicate; ``evaluation``: how the
        noise of the evaluation set is known (``items``, ``bound``, ``unknown``).
    The ties
        ``tie_set`` (the true best is among them in 95 % of sweeps and more), ``short_list`` for confirmation and
        Hsu's ``mcb`` set, best first. ``replicates_needed``: per configuration, to separate the first two with 80 %
        power; None where no number would do.
    The verdict and the pick
        ``verdict`` with its ``reason``; ``pick`` by ``rule`` (a key of RULES); ``expected_loss`` m_L - m_pick.
        ``simplest`` configuration within .25 SE of the leader, ``simplest_loss``; None where no complexity is known.
    The table
        ``scores``, ``shrunk_scores``, ``standard_errors`` (of the shrunk ones), ``runs`` for every configuration;
        ``nan`` where it did not run, shrunk ones also where it collapsed.
    Apart from it
        ``collapsed``, ``diverged``, ``never_ran``; ``copies`` (row kept, row dropped); ``twins``: groups with equal
        outcomes.
    """

    leader: int
    observed: float
    shrunk: float
    interval: Interval | None
    absolute: Interval | None
    bracket: Interval | None
    cavity_z: float
    stands_out: bool
    held_out: float | None
    sd: float
    df: float
    paired: bool
    rerun_sd: float
    rerun_df: int
    evaluation: str
    tie_set: tuple[int, ...]
    short_list: tuple[int, ...]
    mcb: tuple[int, ...]
    replicates_needed: int | None
    verdict: Verdict
    reason: str
    pick: int
    rule: str
    expected_loss: float
    simplest: int | None
    simplest_loss: float | None
    scores: tuple[float, ...]
    shrunk_scores: tuple[float, ...]
    standard_errors: tuple[float, ...]
    runs: tuple[int, ...]
    collapsed: tuple[int, ...]
    diverged: tuple[int, ...]
    never_ran: tuple[int, ...]
    copies: tuple[tuple[int, int], ...]
    twins: tuple[tuple[int, ...], ...]


def judge(scores: Scores, rule: str = "leader") -> Judgement:
    """Judge a sweep by the procedure S0 to S9.

    ``rule`` names how the pick is made, a key of RULES; ``simplest`` needs ``Scores.complexity``. Raises SweepError
    when no run has a finite score, ValueError for a rule that cannot be applied. The work grows linearly with the runs,
    and no N x N matrix is formed above 1,000 configurations.
    """
    if rule not in RULES or (rule == "simplest" and scores.complexity is None):
        raise ValueError(f"The rule {rule!r} cannot be applied; rules: {', '.join(RULES)} (simplest needs complexity)")
    model = fit_model(scores)
    ties = find_ties(model)
    verdict, reason = decide(model, ties)
    simplest = _simplest(scores, model)
    place = simplest if rule == "simplest" and simplest is not None else model.leader.index
    return _judgement(scores, model, ties, verdict=(verdict, reason), simplest=simplest, pick=place, rule=rule)


def _simplest(scores: Scores, model: Model) -> int | None:
    """Return the place of the simplest configuration with m_L - m_i <= .25 SE_iL, of equals the best (S9)."""
    if scores.complexity is None:
        return None
    places = np.flatnonzero(near_leader(model, QUARTER))
    complexity = np.array([scores.complexity[model.members[place]] for place in places], dtype=float)
    return int(places[np.lexsort((-model.posterior.mean[places], complexity))[0]])


def _judgement(  # noqa: PLR0913 - the parts of a judgement, each found by its own step
    scores: Scores,
    model: Model,
    ties: Ties,
    *,
    verdict: tuple[Verdict, str],
    simplest: int | None,
    pick: int,
    rule: str,
) -> Judgement:
    """Put the findings together, in the numbering of ``Scores.configurations``."""
    cells, leader, mean = model.cells, model.leader, model.posterior.mean
    members = model.members.tolist()
    observed = np.where(np.isfinite(model.fit.mean), model.fit.mean, model.rough.mean)
    return Judgement(
        leader=members[leader.index],
        observed=leader.observed,
        shrunk=leader.shrunk,
        **_ranges(model),
        cavity_z=leader.z,
        stands_out=leader.stands_out,
        held_out=held_out(model),
        sd=float(np.sqrt(model.fit.pooled)),
        df=model.fit.total_df,
        paired=model.fit.paired,
        rerun_sd=cells.rerun_sd,
        rerun_df=cells.rerun_df,
        evaluation=model.items.kind,
        tie_set=tuple(members[place] for place in ties.likely),
        short_list=tuple(members[place] for place in ties.short),
        mcb=tuple(members[place] for place in ties.compared),
        replicates_needed=replicates_needed(model),
        verdict=verdict[0],
        reason=verdict[1],
        pick=members[pick],
        rule=rule,
        expected_loss=float(mean[leader.index] - mean[pick]),
        simplest=None if simplest is None else members[simplest],
        simplest_loss=None if simplest is None else float(mean[leader.index] - mean[simplest]),
        scores=tuple(observed.tolist()),
        shrunk_scores=_spread(model, mean),
        standard_errors=_spread(model, np.sqrt(model.posterior.variance)),
        runs=tuple(model.rough.runs.tolist()),
        collapsed=tuple(np.flatnonzero(cells.usable & ~np.isfinite(model.fit.mean)).tolist()),
        diverged=cells.diverged,
        never_ran=cells.never_ran,
        copies=cells.copies,
        twins=twins(scores, cells),
    )


def _ranges(model: Model) -> dict[str, Any]:
    """Return the intervals of the leader's score, or the bracket where one replicate shows no noise."""
    leader = model.leader
    if model.fit.total_df <= 0:
        ends = sorted((leader.shrunk, leader.observed))
        return {"interval": None, "absolute": None, "bracket": (ends[0], ends[1])}
    interval, absolute = (model.items.widened(given, leader.shrunk) for given in (leader.interval, leader.absolute))
    return {"interval": interval, "absolute": absolute, "bracket": None}


def _spread(model: Model, values: Array) -> tuple[float, ...]:
    """Return values of the members as values of all configurations, nan for the others."""
    everywhere = np.full(model.cells.size, np.nan)
    everywhere[model.members] = values
    return tuple(everywhere.tolist())
