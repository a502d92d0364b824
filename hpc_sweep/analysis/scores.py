"""The runs that are judged, and the table of cells that they fill (step S0 of the decision procedure).

::

    values  (one row per run)                cells  (one per configuration and replicate)
    (0, 123, .803)  ------------------->     (0, 123)  .803
    (0, 456, .811)  ------------------->     (0, 456)  .811
    (0, 456, .811)  same outputs: a copy     kept once
    (0, 789, .820)  ---.
    (0, 789, .826)  ---+--------------->     (0, 789)  .823   other outputs: a rerun, averaged
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpc_sweep.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

FEWEST_RERUNS = 8  # degrees of freedom from which the noise between reruns is used, not only reported


@dataclass(frozen=True)
class Scores:
    """The runs of a sweep and what is known about each.

    Attributes
    ----------
    configurations
        The levels of each swept hyperparameter, one mapping per configuration (N). A hyperparameter that is not
        active in a configuration is left out of its mapping.
    values
        One row per run: index of its configuration, label of its replicate (normally the seed; ``None`` where runs
        share nothing), score. A larger score is better. ``-inf`` is a run that diverged; ``nan`` has no outcome.
    items
        Optionally for each run the correctness or loss of every item of the shared evaluation set, ``[n_items]``.
    n_items
        Size of the evaluation set, where it is known; needed when ``items`` is not given.
    outputs
        Optionally for each run whatever else it recorded: two runs of one cell with equal score and equal outputs
        are copies of one run.
    complexity
        Optionally one number per configuration; the smaller is the simpler. Used by the rule of the simplest.
    """

    configurations: Sequence[Mapping[str, Any]]
    values: Sequence[tuple[int, Hashable, float]]
    items: Sequence[npt.ArrayLike | None] | None = None
    n_items: int | None = None
    outputs: Sequence[Hashable] | None = None
    complexity: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Refuse tables whose columns do not belong together."""
        for name, given, wanted in (
            ("items", self.items, len(self.values)),
            ("outputs", self.outputs, len(self.values)),
            ("complexity", self.complexity, len(self.configurations)),
        ):
            if given is not None and len(given) != wanted:
                raise ValueError(f"Scores.{name} has {len(given)} entries, not {wanted}")
        if any(not 0 <= row[0] < len(self.configurations) for row in self.values):
            raise ValueError("Scores.values names a configuration that is not in Scores.configurations")


@dataclass(frozen=True)
class Cells:
    """The table of a sweep: one score per configuration and replicate that ran.

    ``configuration``, ``replicate`` (codes into ``labels``), ``score``: ``[cells]``; ``rows``: for each cell the rows
    of ``Scores.values`` behind it, copies left out. ``copies``: pairs (row kept, row dropped). ``rerun_sd``: standard
    deviation between runs of one cell, in units of the score, from ``rerun_df`` degrees of freedom (``nan`` from 0).
    ``diverged``, ``never_ran``: configurations with a run that diverged, and without any outcome.
    """

    size: int
    configuration: Integers
    replicate: Integers
    score: Array
    rows: tuple[tuple[int, ...], ...]
    labels: tuple[Hashable, ...]
    copies: tuple[tuple[int, int], ...]
    reruns: tuple[tuple[int, ...], ...]
    rerun_sd: float
    rerun_df: int
    diverged: tuple[int, ...]
    never_ran: tuple[int, ...]

    def rerun_noise(self) -> Array:
        """Return the variance of each configuration's mean that reruns of its cells alone show, ``[N]``; else zeros.

        The mean of n cells of k runs each has at least sd^2 / (k n), sd between runs of one cell. It matters where the
        cells of a noisy machine were averaged in some configurations only.
        """
        if self.rerun_df < FEWEST_RERUNS:
            return np.zeros(self.size)
        share = np.bincount(self.configuration, [1 / len(rows) for rows in self.rows], self.size)
        cells = np.bincount(self.configuration, minlength=self.size)
        return np.asarray(self.rerun_sd**2 * share / np.maximum(cells, 1) ** 2, dtype=float)

    @property
    def usable(self) -> Mask:
        """Configurations that have an outcome and never diverged, ``[N]``."""
        mask = np.ones(self.size, dtype=bool)
        mask[list(self.diverged + self.never_ran)] = False
        return mask


def tabulate(scores: Scores) -> Cells:
    """Return the cells of the sweep: copies kept once, reruns averaged, their noise reported apart (S0).

    Counted as replicates, reruns of one cell would make the noise between replicates look smaller than it is.
    Raises SweepError when no run has a finite score.
    """
    groups, copies = _group(scores)
    values = scores.values
    means = {key: math.fsum(values[row][2] for row in rows) / len(rows) for key, rows in groups.items()}
    diverged = {key[0] for key, mean in means.items() if mean == -math.inf}
    cells = [key for key in groups if key[0] not in diverged]
    if not cells:
        raise SweepError("No configuration can be ranked: no run has a finite score.")
    labels = {label: None for _, label in cells}
    code = {label: index for index, label in enumerate(labels)}
    reruns = tuple(tuple(groups[key]) for key in cells if len(groups[key]) > 1)
    df = sum(len(rows) - 1 for rows in reruns)
    squares = sum(_squares([values[row][2] for row in rows]) for rows in reruns)
    return Cells(
        size=len(scores.configurations),
        configuration=np.array([key[0] for key in cells], dtype=np.intp),
        replicate=np.array([code[key[1]] for key in cells], dtype=np.intp),
        score=np.array([means[key] for key in cells]),
        rows=tuple(tuple(groups[key]) for key in cells),
        labels=tuple(labels),
        copies=tuple(copies),
        reruns=reruns,
        rerun_sd=math.sqrt(squares / df) if df else math.nan,
        rerun_df=df,
        diverged=tuple(sorted(diverged)),
        never_ran=tuple(sorted(set(range(len(scores.configurations))) - {key[0] for key in groups})),
    )


def twins(scores: Scores, cells: Cells) -> tuple[tuple[int, ...], ...]:
    """Return the groups of configurations whose outcomes are equal in every replicate.

    Such configurations probably differ in a hyperparameter that has no effect. Where ``Scores.outputs`` is absent, at
    least two replicates must agree, since two equal rounded scores alone are no evidence.
    """
    outcome: dict[int, list[tuple[Hashable, ...]]] = {}
    for configuration, replicate, rows in zip(cells.configuration, cells.replicate, cells.rows, strict=True):
        recorded = tuple((scores.values[row][2], scores.outputs[row] if scores.outputs else None) for row in rows)
        outcome.setdefault(int(configuration), []).append((int(replicate), recorded))
    least = 1 if scores.outputs else 2
    groups: dict[frozenset[Hashable], list[int]] = {}
    for configuration, found in outcome.items():
        if len(found) >= least:
            groups.setdefault(frozenset(found), []).append(configuration)
    return tuple(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def _group(scores: Scores) -> tuple[dict[tuple[int, Hashable], list[int]], list[tuple[int, int]]]:
    """Return the rows of each cell without copies, and the copies as (row kept, row dropped)."""
    groups: dict[tuple[int, Hashable], list[int]] = {}
    kept: dict[tuple[Hashable, ...], int] = {}
    copies = []
    for row, (configuration, label, score) in enumerate(scores.values):
        if math.isnan(score):
            continue
        cell = (configuration, ("row", row) if label is None else label)
        run = (*cell, score, scores.outputs[row] if scores.outputs else None)
        if run in kept:
            copies.append((kept[run], row))
            continue
        kept[run] = row
        groups.setdefault(cell, []).append(row)
    return groups, copies


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)
