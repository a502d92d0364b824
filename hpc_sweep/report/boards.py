"""What compares: leaderboard, deductions, hyperparameters, learning curves, confusion and several metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hpc_sweep.analysis.naming import runs
from hpc_sweep.analysis.table import level_means, level_text
from hpc_sweep.report import charts
from hpc_sweep.report.document import Cell, Finding, Items, Link, Paragraph, Table, code, figure, line, words
from hpc_sweep.report.document import Code as CodeText
from hpc_sweep.report.pick import span
from hpc_sweep.report.record import TRIALS_CSV, configuration_line, picture
from hpc_sweep.report.wording import number
from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.analysis.decision import Decision, Entry
    from hpc_sweep.analysis.table import Evidence, Observation
    from hpc_sweep.report.document import Block, Inline, Line
    from hpc_sweep.report.drawing import Picture

_ROWS = 20
_LEVELS = 12
_WIDE = 1000
LEADERBOARD_CSV = Link("leaderboard.csv", "leaderboard.csv")


def leaderboard(evidence: Evidence, decision: Decision, pictures: Mapping[str, Picture]) -> list[Block]:
    """Return every ranked configuration with its score and interval, then those without a rank."""
    ranked = [entry for entry in decision.leaderboard if entry.rank is not None]
    rest = [entry for entry in decision.leaderboard if entry.rank is None]
    names = list(evidence.space.levels)
    blocks: list[Block] = [*picture(pictures, charts.LEADERBOARD)]
    if ranked:
        titles: list[Inline] = [
            "rank",
            "runs",
            *map(CodeText, names),
            "observed",
            "shrunk",
            "95 % interval",
            "sd",
            "n",
            "behind by",
            "",
        ]
        rows = tuple(_row(entry, names) for entry in ranked[:_WIDE])
        marked = {at: _state(entry) for at, entry in enumerate(ranked[:_WIDE]) if entry.tied or entry.rank == 1}
        blocks.append(
            Table("leaderboard", tuple((one,) for one in titles), rows, sortable=True, marked=marked, limit=_ROWS)
        )
    if len(ranked) > _ROWS:
        here = f"The best {_WIDE} are here; all" if len(ranked) > _WIDE else "All"
        where = line(f"{here} {len(ranked)} are in ", LEADERBOARD_CSV, ", the trials in ", TRIALS_CSV, ".")
        blocks.append(Paragraph(where))
    if rest:
        lead = "Not ranked" if ranked else "Nothing is ranked"
        blocks.append(Paragraph(line(f"{lead}: {len(rest)} configurations without a rank.")))
        blocks.append(
            Items(tuple((*configuration_line(one.configuration), f": {_unranked(one)}") for one in rest[:_ROWS]))
        )
    return blocks


def deductions(decision: Decision, pictures: Mapping[str, Picture]) -> list[Block]:
    """Return the sentences that tests support, and those that none does."""
    found: list[Block] = [Finding(one.grade, one.text) for one in decision.deductions]
    shares = decision.evidence.get("importance") or []
    if not found and not shares:
        return []
    blocks: list[Block] = [*found]
    if shares:
        header = (("hyperparameter",), ("explains",), ("95 % interval",))
        rows = tuple(
            (code(one["name"]), figure(one["share"], f"{one['share']:.0%}"), words(_shares(one))) for one in shares
        )
        blocks += [
            Paragraph(
                line("How much of the differences between configurations each hyperparameter explains by itself:")
            ),
            *picture(pictures, charts.IMPORTANCE),
            Table("importance", header, rows),
        ]
    return blocks


def hyperparameters(evidence: Evidence, pictures: Mapping[str, Picture]) -> list[Block]:
    """Return the metric against every hyperparameter, the means of their levels, and of pairs of levels."""
    swept = {name: levels for name, levels in evidence.space.levels.items() if len(levels) > 1}
    if not swept or not evidence.scored:
        return []
    blocks: list[Block] = [*picture(pictures, charts.BY_HYPERPARAMETER)]
    blocks.append(Paragraph(line("Means over the grid that ran; no test. Each configuration counts once.")))
    shown = [name for name, levels in swept.items() if len(levels) <= _LEVELS]
    rows = tuple(
        (code(name), _level(one.level), figure(one.mean), figure(one.low), figure(one.high), figure(one.n, str(one.n)))
        for name in shown
        for one in level_means(evidence, name)
    )
    titles = ("hyperparameter", "level", "mean", "lowest", "highest", "configurations")
    blocks += [Table("levels", tuple((one,) for one in titles), rows, sortable=True)] if rows else []
    many = [CodeText(name) for name in swept if name not in shown]
    if many:
        listed = [part for one in many for part in (", ", one)][1:]
        blocks.append(Paragraph((f"Without a table, because of more than {_LEVELS} levels: ", *listed, ".")))
    return [*blocks, *picture(pictures, charts.PAIRWISE)]


def parallel(pictures: Mapping[str, Picture]) -> list[Block]:
    """Return all configurations as lines across their hyperparameters."""
    return picture(pictures, charts.PARALLEL)


def curves(evidence: Evidence, decision: Decision, pictures: Mapping[str, Picture]) -> list[Block]:
    """Return the learning curves, and those of the pick as numbers."""
    metric = evidence.objective.metric
    picked = decision.winner.trials if decision.winner else []
    found = [one for one in evidence.scored if one.trial.number in picked and one.curve(metric)]
    blocks: list[Block] = picture(pictures, charts.LEARNING_CURVES)
    if found:
        header = ("run", "epochs", "last", "best", "at epoch", "train, last")
        rows = tuple(_curve_row(evidence, one) for one in found)
        blocks += [Paragraph(line(f"{metric} of the pick:")), Table("curves", tuple((one,) for one in header), rows)]
    return blocks


def fit(pictures: Mapping[str, Picture]) -> list[Block]:
    """Return how far the training set is fitted better than the other."""
    return picture(pictures, charts.FIT)


def confusion(pictures: Mapping[str, Picture]) -> list[Block]:
    """Return the confusion matrix of the pick, and its difference to the baseline's."""
    return [*picture(pictures, charts.CONFUSION), *picture(pictures, charts.CONFUSION_CHANGE)]


def front(decision: Decision, pictures: Mapping[str, Picture]) -> list[Block]:
    """Return the configurations that no other beats in all metrics."""
    if not decision.front:
        return []
    metrics = list(decision.front[0]["metrics"])
    rows = tuple(
        (Cell(configuration_line(one["configuration"])), *(figure(one["metrics"][name]) for name in metrics))
        for one in decision.front[:_WIDE]
    )
    told = (
        f"Beaten by no other in every one of {len(metrics)} metrics, by their means, without any test: "
        f"{len(decision.front)} of {sum(entry.n > 0 for entry in decision.leaderboard)} configurations."
    )
    header: tuple[Line, ...] = (("configuration",), *((CodeText(name),) for name in metrics))
    table = Table("front", header, rows, sortable=True, limit=_ROWS)
    return [Paragraph(line(told)), *picture(pictures, charts.FRONT), table]


def _row(entry: Entry, names: Sequence[str]) -> tuple[Cell, ...]:
    levels = [_level(entry.configuration[name]) if name in entry.configuration else words("") for name in names]
    ranges = _ranges(entry.trials)
    listed = ", ".join(ranges[:_LEVELS]) + ("…" if len(ranges) > _LEVELS else "")
    assert entry.rank is not None
    return (
        figure(entry.rank, str(entry.rank)),
        Cell((listed,), float(entry.trials[0])),
        *levels,
        figure(entry.mean),
        figure(entry.shrunk),
        Cell((span(entry.interval),), entry.interval[0] if entry.interval else None, numeric=True),
        figure(entry.sd),
        figure(entry.n, str(entry.n)),
        figure(entry.difference),
        words(_state(entry)),
    )


def _ranges(numbers: Sequence[int]) -> list[str]:
    """Return ascending numbers with those that follow each other in one.

    >>> _ranges([1, 2, 3, 7, 9, 10])
    ['1-3', '7', '9-10']
    """
    found: list[list[int]] = []
    for one in numbers:
        if found and one == found[-1][-1] + 1:
            found[-1].append(one)
        else:
            found.append([one])
    return [str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in found]


def _state(entry: Entry) -> str:
    if entry.rank == 1:
        return "the pick"
    return "tied" if entry.tied else entry.note


def _level(value: object) -> Cell:
    key = float(value) if is_number(value) else None  # type: ignore[arg-type]
    return Cell((CodeText(level_text(value)),), key)


def _curve_row(evidence: Evidence, one: Observation) -> tuple[Cell, ...]:
    metric = evidence.objective.metric
    curve, train = one.curve(metric), one.curve(f"train/{metric.partition('/')[2]}")
    best = replace(evidence.objective, at="best").epoch(curve)
    whole = [figure(value, str(value)) for value in (one.trial.number, len(curve))]
    values = [figure(curve[-1]), figure(curve[best]), figure(best + 1, str(best + 1))]
    return (*whole, *values, figure(train[-1] if train else None))


def _unranked(entry: Entry) -> str:
    scored = [f"mean {number(entry.mean)}, n = {entry.n} ({runs(entry.trials)})"] if entry.n else []
    reason = [entry.note] if entry.note else []
    return "; ".join([*reason, *scored, *(f"{status}, {runs(numbers)}" for status, numbers in entry.unscored.items())])


def _shares(one: Mapping[str, float | None]) -> str:
    low, high = one["low"], one["high"]
    return "not known" if low is None or high is None else f"{low:.0%} to {high:.0%}"
