"""Scores freed of what a replicate does to all configurations alike (step S1 of the decision procedure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from hpc_sweep.analysis.scores import Array, Cells, Integers, Mask

# Above this number of labels replicates are not shared in any useful way, and their effects are not fitted.
MOST_REPLICATES = 2_000


@dataclass(frozen=True)
class Alignment:
    """The two-way fit ``y_cr = c_c + s_r + e_cr`` with ``sum s_r = 0`` over the cells that took part.

    ``mean`` ``[N]``: adjusted mean c_c of each configuration, in units of the score, ``nan`` where it took no part.
    ``runs`` ``[N]``: cells n_c behind it. ``squares`` ``[N]``: sum SS_c of squared residuals. ``df`` ``[N]``: its
    degrees of freedom d_c = (n_c - 1) D / sum(n_c - 1). ``total_df``: D = sum(n_c - 1) - (R - 1).
    ``adjusted`` ``[cells]``: y_cr - s_r, ``nan`` for cells that took no part. ``shifts`` ``[R]``: the replicates'
    effects s_r; empty when the replicates are not shared (``paired`` is False).
    """

    mean: Array
    runs: Integers
    squares: Array
    df: Array
    total_df: float
    adjusted: Array
    shifts: Array
    paired: bool

    @property
    def replicates(self) -> int:
        """R: the number of shared replicates, or the largest number of runs where none is shared."""
        return len(self.shifts) if self.paired else int(self.runs.max())

    @property
    def pooled(self) -> float:
        """Variance between replicates of one configuration, all configurations pooled (``nan`` without df)."""
        return float(self.squares.sum() / self.total_df) if self.total_df > 0 else float("nan")


def align(cells: Cells, keep: Mask) -> Alignment:
    """Fit configurations and replicates to the cells of the configurations that are kept, ``[N]``.

    Replicates are shared when their cells hang together: otherwise configurations that never met would be compared
    through an arbitrary constant, so the replicates' effects are left out (the fit is *unpaired*).
    Source: least squares of the two-way layout; its normal equations, reduced to the replicates, are solved exactly.
    """
    used = keep[cells.configuration]
    rows, score = cells.configuration[used], cells.score[used]
    labels, columns = np.unique(cells.replicate[used], return_inverse=True)
    runs = np.bincount(rows, minlength=cells.size)
    paired = len(labels) <= MOST_REPLICATES and _connected(rows, columns, cells.size, len(labels))
    shifts = _shifts(rows, columns, score, runs, len(labels)) if paired else np.zeros(0)
    adjusted = score - shifts[columns] if paired else score.astype(float)
    everywhere = np.full(len(used), np.nan)
    everywhere[used] = adjusted
    mean = np.bincount(rows, adjusted, cells.size) / np.where(runs > 0, runs, np.nan)
    squares = np.bincount(rows, (adjusted - mean[rows]) ** 2, cells.size).astype(float)
    free = np.maximum(runs - 1, 0)
    total = float(free.sum() - max(len(shifts) - 1, 0))
    df = free * (total / max(float(free.sum()), 1.0))
    return Alignment(mean, runs, squares, df, total, everywhere, shifts, paired)


def _connected(rows: Integers, columns: Integers, size: int, labels: int) -> bool:
    """Tell whether every configuration can be compared with every other through shared replicates."""
    present = len(np.unique(rows))
    if present == 1:
        return False
    edges = coo_array((np.ones(len(rows)), (rows, size + columns)), shape=(size + labels, size + labels))
    parts, _ = connected_components(edges, directed=False)
    return bool(parts - (size - present) == 1)


def _shifts(rows: Integers, columns: Integers, score: Array, runs: Integers, labels: int) -> Array:
    """Return the replicates' effects: the normal equations after the configurations are eliminated."""
    took = np.maximum(runs, 1)
    shared = coo_array((1 / np.sqrt(took[rows]), (rows, columns)), shape=(len(runs), labels)).tocsr()
    laplacian = np.diag(np.bincount(columns, minlength=labels)) - (shared.T @ shared).toarray()
    means = np.bincount(rows, score, len(runs)) / took
    excess = np.bincount(columns, score - means[rows], labels)
    # The Laplacian does not see a constant; adding 1/R to every entry pins sum s_r to 0.
    return np.asarray(np.linalg.solve(laplacian + 1 / labels, excess), dtype=float)
