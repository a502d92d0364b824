"""What the finite evaluation set adds to the noise: replicates cannot show it, since all of them see the same items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpc_sweep.analysis.leader import Interval
    from hpc_sweep.analysis.scores import Array, Cells, Mask, Scores

ENOUGH = 1_000  # items from which a verdict is possible although their individual outcomes were not stored


@dataclass(frozen=True)
class EvaluationNoise:
    """Noise of the mean scores that comes from the evaluation set, in squared units of the score.

    ``comparative`` ``[N]``: what differs between configurations, ve_c = Var_i(a_ci - abar_i) / n; ``common``: what
    shifts all alike, Var_i(abar_i) / n. ``size``: n, None where it is not known. ``kind``: ``items`` (estimated from
    the items), ``bound`` (only p (1 - p) / n is known, which is at least the sum of both) or ``unknown`` (taken as 0).
    """

    comparative: Array
    common: float
    size: int | None
    kind: str

    @property
    def too_small(self) -> bool:
        """Whether the evaluation noise is unknown and the evaluation set too small to neglect it."""
        return self.kind != "items" and self.size is not None and self.size < ENOUGH

    def widened(self, interval: Interval, score: float) -> Interval:
        """Return the interval, widened to Wilson's around the score where only the number of items is known."""
        if self.kind != "bound" or self.size is None:
            return interval
        low, high = wilson(min(max(score, 0.0), 1.0), self.size)
        return min(interval[0], low), max(interval[1], high)


def evaluation_noise(scores: Scores, cells: Cells, means: Array, keep: Mask) -> EvaluationNoise:
    """Return the evaluation noise of the configurations that are kept, from the items where all of them have some.

    ``means`` ``[N]``: their observed means, read as proportions of correct items where all lie in [0, 1] and only the
    number of items is known. A factor G / (G - 1) makes the comparative part right for few configurations: the mean
    of Var_i(a_ci - a_di) over pairs is 2 G / (G - 1) times the mean of Var_i(a_ci - abar_i).
    """
    zeros = np.zeros(len(keep))
    if _complete(scores, cells, keep):
        average = sum(mean for _, mean in item_means(scores, cells, keep)) / keep.sum()
        size = len(average)
        comparative = zeros.copy()
        for index, mean in item_means(scores, cells, keep):
            comparative[index] = np.var(mean - average, ddof=1) / size
        few = keep.sum() / max(keep.sum() - 1, 1)
        return EvaluationNoise(comparative * few, float(np.var(average, ddof=1)) / size, size, "items")
    bounded = bool(np.all((means[keep] >= 0) & (means[keep] <= 1)))
    if scores.n_items is None or not bounded:
        return EvaluationNoise(zeros, 0.0, scores.n_items, "unknown")
    share = np.where(keep, means, 0)
    return EvaluationNoise(share * (1 - share) / scores.n_items, 0.0, scores.n_items, "bound")


def item_means(scores: Scores, cells: Cells, keep: Mask) -> Iterator[tuple[int, Array]]:
    """Yield each kept configuration with the mean of every item over its runs, ``[n_items]``, one at a time."""
    assert scores.items is not None
    order = np.argsort(cells.configuration, kind="stable")
    starts = np.searchsorted(cells.configuration[order], np.arange(cells.size + 1))
    for index in np.flatnonzero(keep):
        of_cells = order[starts[index] : starts[index + 1]]
        rows = [[np.asarray(scores.items[row], dtype=float) for row in cells.rows[cell]] for cell in of_cells]
        yield int(index), np.mean([np.mean(runs, axis=0) for runs in rows], axis=0)


def _complete(scores: Scores, cells: Cells, keep: Mask) -> bool:
    """Tell whether every run of every kept configuration has the same number of items, at least two."""
    if scores.items is None:
        return False
    rows = [row for cell, rows in enumerate(cells.rows) if keep[cells.configuration[cell]] for row in rows]
    sizes = {-1 if scores.items[row] is None else int(np.size(scores.items[row])) for row in rows}  # type: ignore[arg-type]
    return len(sizes) == 1 and sizes.pop() > 1
