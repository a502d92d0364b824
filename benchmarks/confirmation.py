"""How well a confirmed score keeps its promise: planted sweeps whose short lists run on three fresh replicates.

usage:    python benchmarks/confirmation.py [--sweeps N]
example:  OMP_NUM_THREADS=1 python benchmarks/confirmation.py --sweeps 1000

The sweeps are those of ``decision.py`` (truth ``planted``). Told are, in points, the bias of the confirmed score (the
fresh mean of the configuration that was the pick before), beside that of the same sweeps' best raw mean, and of the
fresh mean of whatever leads afterwards; and the share of 95 % intervals that hold the truth for other replicates.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
from decision import POINT, Cell, Truth, sweeps

from hpc_sweep.analysis.confirmation import fresh_interval, to_confirm
from hpc_sweep.analysis.judge import Judgement, Scores, judge

FRESH = 3
CELLS = (
    Cell("planted", 18, 2, 1),
    Cell("planted", 18, 3, 1),
    Cell("planted", 60, 3, 1),
    Cell("planted", 18, 3, 3),
    Cell("planted", 60, 3, 3),
)


class Outcome(NamedTuple):
    """Of one sweep, in points: the errors of three scores, the width of the interval, and whether it holds."""

    naive: float
    confirmed: float
    leads_after: float
    width: float
    covers: float


def main() -> None:
    """Print one row for each cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=300)
    count = parser.parse_args().sweeps
    print("| N | R | sd | sweeps | naive | confirmed | fresh mean of the leader after | interval holds | width |")
    print("|---|---|---|---|---|---|---|---|---|")
    for cell in CELLS:
        drawn = enumerate(sweeps(cell, count))
        rows = [confirm(truth, scores, cell, np.random.default_rng(b)) for b, (truth, scores) in drawn]
        told = Outcome(*np.nanmean(rows, axis=0))
        errors = f"{told.naive:+.2f} | {told.confirmed:+.3f} | {told.leads_after:+.2f}"
        print(f"| {cell.size} | {cell.replicates} | {cell.sd:g} | {count} | {errors} "
              f"| {100 * told.covers:.1f} % | {told.width:.2f} |", flush=True)  # fmt: skip


def confirm(truth: Truth, scores: Scores, cell: Cell, rng: np.random.Generator) -> Outcome:
    """Judge a sweep, run its short list on fresh replicates, judge all runs, and compare with the truth."""
    before = judge(scores)
    shifts = rng.normal(0, 0.5 * cell.sd * POINT, FRESH)
    fresh = {one: truth.theta[one] + shifts + truth.sd[one] * rng.standard_normal(FRESH) for one in to_confirm(before)}
    runs = [(one, cell.replicates + r, float(v)) for one, values in fresh.items() for r, v in enumerate(values)]
    both = Scores(truth.configurations, [*scores.values, *runs], complexity=range(cell.size))
    after = judge(both)
    values = fresh[before.pick]
    interval = fresh_interval(values.tolist(), _spread(both, after), cell.replicates + FRESH)
    assert interval is not None
    theta = truth.theta
    best = max(range(cell.size), key=before.scores.__getitem__)
    again = fresh[after.pick].mean() - theta[after.pick] if after.pick in fresh else np.nan
    found = before.scores[best] - theta[best], values.mean() - theta[before.pick], again, interval[1] - interval[0]
    return Outcome(*(float(value) / POINT for value in found), interval[0] <= theta[before.pick] <= interval[1])


def _spread(scores: Scores, judgement: Judgement) -> list[tuple[int, float]]:
    """Return how often each configuration that did not collapse ran, and its squared deviations."""
    groups: dict[int, list[float]] = {}
    for one, _, value in scores.values:
        groups.setdefault(one, []).append(value)
    kept = [np.array(values) for one, values in groups.items() if one not in judgement.collapsed]
    return [(len(values), float(((values - values.mean()) ** 2).sum())) for values in kept]


if __name__ == "__main__":
    main()
