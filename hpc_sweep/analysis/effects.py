"""Main effects: what a hyperparameter's levels do to the score, averaged over the grid that ran (step S10)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpc_sweep.analysis.align import Alignment, align
from hpc_sweep.analysis.contrasts import Marginals, marginals, residual_variance
from hpc_sweep.analysis.distributions import student_quantile, student_tail
from hpc_sweep.analysis.factorial import Factorial
from hpc_sweep.analysis.items import evaluation_noise, item_means
from hpc_sweep.analysis.scores import Cells, Scores, tabulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_sweep.analysis.leader import Interval
    from hpc_sweep.analysis.scores import Array, Integers

Grade = Literal["supported", "suggestive", "not resolved"]

ALPHA = 0.05
UNKNOWN = (math.nan, math.nan)
UNDECIDED: Grade = "not resolved"


@dataclass(frozen=True)
class Effect:
    """The difference between two levels of one hyperparameter.

    ``estimate``: mean at ``levels[0]`` less mean at ``levels[1]``, in units of the score; ``interval``: 95 %, for this
    difference alone; ``p``: two-sided; ``holm``: the same, corrected for all pairs of levels of all hyperparameters;
    ``grade``: supported (holm < .05), suggestive (p < .05) or not resolved; ``n``: runs at the two levels.
    ``basis``: what was averaged (see ``contrasts``): ``grid``, ``imputed``, ``additive``, or ``none``: the difference
    is not estimable, and its numbers are ``nan``.
    """

    name: str
    levels: tuple[Any, Any]
    estimate: float
    interval: Interval
    p: float
    holm: float
    grade: Grade
    n: int
    basis: str


@dataclass(frozen=True)
class _Table:
    """The aligned means of the configurations at ``places`` ``[N]``, and how uncertain they are.

    ``variance`` ``[N]``: of each mean; ``own_df`` ``[N]``: its degrees of freedom, 0 where it comes from all
    configurations together, which have ``common_df``.
    """

    scores: Scores
    cells: Cells
    places: Integers
    means: Array
    runs: Integers
    variance: Array
    own_df: Array
    common_df: float

    def restricted(self, marginal: Marginals) -> _Table:
        """Return the rows of a hyperparameter; in a model of levels only, what that leaves is their noise."""
        rows = marginal.members
        part = replace(
            self,
            places=self.places[rows],
            means=self.means[rows],
            runs=self.runs[rows],
            variance=self.variance[rows],
            own_df=self.own_df[rows],
        )
        if marginal.basis != "additive":
            return part
        variance, df = marginal.residual(part.means)
        return replace(part, variance=np.full(len(rows), variance), own_df=np.zeros(len(rows)), common_df=df)

    def contrast_variance(self, k: Array, added: float) -> tuple[float, float]:
        """Return (variance, df) of k'c, with ``added`` from the evaluation set (Welch 1947, Satterthwaite 1946)."""
        shares = k**2 * self.variance
        own = self.own_df > 0
        common = float(shares[~own].sum())
        spread = float((shares[own] ** 2 / self.own_df[own]).sum())
        if common > 0 or np.isnan(common):
            spread = spread + common**2 / self.common_df if self.common_df > 0 else math.nan
        total = float(shares.sum()) + added
        return total, total**2 / spread if spread != 0 else math.inf

    def everywhere(self) -> Array:
        """Return the means in the numbering of all configurations, ``nan`` for the others."""
        means = np.full(self.cells.size, np.nan)
        means[self.places] = self.means
        return means


def effects(scores: Scores) -> list[Effect]:
    """Return the differences between all pairs of levels of all hyperparameters.

    Left out is what is continuous: more than 20 levels, or no level twice while other hyperparameters vary as well.
    Estimates are contrasts of unweighted marginal means, est = k'c with k = z_a/|a| - z_b/|b|; var = sum k^2 s2_c / n_c
    with Welch-Satterthwaite degrees of freedom, so that collapsed and noisy configurations bring their own noise.
    With one replicate the residual of the two-way model takes its place. Raises SweepError without any finite score.
    """
    table = _table(scores)
    found: list[Effect] = []
    for marginal in marginals([scores.configurations[place] for place in table.places.tolist()]):
        found += _pairs(marginal, table)
    return holm(found)


def holm(found: list[Effect]) -> list[Effect]:
    """Return the effects with p corrected for their number (Holm 1979) and graded; those not estimable do not count."""
    tested = sorted((place for place, effect in enumerate(found) if not math.isnan(effect.p)), key=lambda k: found[k].p)
    graded, worst = list(found), 0.0
    for rank, place in enumerate(tested):
        worst = max(worst, min(1.0, found[place].p * (len(tested) - rank)))
        graded[place] = replace(found[place], holm=worst, grade=_grade(found[place].p, worst))
    return graded


def _grade(p: float, corrected: float) -> Grade:
    if corrected < ALPHA:
        return "supported"
    return "suggestive" if p < ALPHA else UNDECIDED


def _table(scores: Scores) -> _Table:
    cells = tabulate(scores)
    fit = align(cells, cells.usable)
    places = np.flatnonzero(cells.usable)
    means, runs = fit.mean[places], fit.runs[places]
    factorial = Factorial.of([scores.configurations[place] for place in places.tolist()])
    variance, own_df, common_df = _variance(fit, places, cells.rerun_noise(), factorial)
    return _Table(scores, cells, places, means, runs, variance, own_df, common_df)


def _variance(fit: Alignment, places: Integers, reruns: Array, factorial: Factorial) -> tuple[Array, Array, float]:
    """Return the variance of every mean, its own degrees of freedom, and those of what comes from all together."""
    runs, df = fit.runs[places], fit.df[places]
    if fit.total_df <= 0:
        variance, residual_df = residual_variance(fit.mean[places], factorial)
        return np.full(len(places), variance), np.zeros(len(places)), residual_df
    own = np.divide(fit.squares[places], df, out=np.full(len(places), fit.pooled), where=df > 0)
    return np.maximum(own / runs, reruns[places]), df, fit.total_df


def _pairs(marginal: Marginals, table: _Table) -> list[Effect]:
    """Return the effects of one hyperparameter, not yet corrected."""
    table = table.restricted(marginal)
    evaluation = _evaluation(marginal, table)
    found = []
    for a, b in combinations(range(len(marginal.levels)), 2):
        n = int(table.runs[(marginal.codes == a) | (marginal.codes == b)].sum())
        levels = (marginal.levels[a], marginal.levels[b])
        k = marginal.weights[a] - marginal.weights[b]
        variance, df = table.contrast_variance(k, evaluation(a, b))
        if not (marginal.estimable[a] and marginal.estimable[b] and df > 0):
            found.append(Effect(marginal.name, levels, math.nan, UNKNOWN, math.nan, math.nan, UNDECIDED, n, "none"))
            continue
        estimate, error = float(k @ table.means), math.sqrt(variance)
        half = student_quantile(1 - ALPHA / 2, df) * error
        interval = (estimate - half, estimate + half)
        p = _two_sided(estimate, error, df)
        found.append(Effect(marginal.name, levels, estimate, interval, p, p, UNDECIDED, n, marginal.basis))
    return found


def _two_sided(estimate: float, error: float, df: float) -> float:
    if error == 0:
        return 0.0 if estimate else 1.0
    return 2 * student_tail(abs(estimate) / error, df)


def _evaluation(marginal: Marginals, table: _Table) -> Callable[[int, int], float]:
    """Return the variance that the evaluation set adds to the difference of two levels.

    From the items it is exact: the variance over items of the difference of the levels' item means, over their number.
    From the number of items alone, p (1 - p) / n of each configuration as if they were independent.
    """
    scores, cells = table.scores, table.cells
    keep = np.zeros(cells.size, dtype=bool)
    keep[table.places] = True
    noise = evaluation_noise(scores, cells, table.everywhere(), keep)
    if noise.kind != "items":
        share = noise.comparative[table.places]
        return lambda a, b: float((marginal.weights[a] - marginal.weights[b]) ** 2 @ share)
    assert noise.size is not None
    level = np.zeros((len(marginal.levels), noise.size))
    for place, (_, mean) in enumerate(item_means(scores, cells, keep)):
        level += marginal.weights[:, place, None] * mean[None, :]
    return lambda a, b: float(np.var(level[a] - level[b], ddof=1)) / level.shape[1]
