"""The confusion matrix of the winner, where its trials left one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from hpc_sweep.analysis.naming import runs
from hpc_sweep.analysis.table import label
from hpc_sweep.report.drawing import CHANGES, DARK_TEXT, SHADES, Picture, data
from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.analysis.decision import Winner
    from hpc_sweep.analysis.table import Configuration, Evidence, Observation
    from hpc_sweep.report.drawing import Chart

Matrix = list[list[float]]

_CLASSES = 60
_CLASSES_WITH_COUNTS = 20


def confusion_matrix(evidence: Evidence, winner: Winner, file: str) -> Picture | None:
    """Return the matrix summed over the winner's replicates, or None when there is none that can be drawn."""
    split = evidence.objective.metric.partition("/")[0]
    picked = [one for one in evidence.scored if one.trial.number in winner.trials]
    found = [(one, matrix) for one in picked if (matrix := square(one.extras.get(f"{split}/confusion")))]
    found = [pair for pair in found if len(pair[1]) == len(found[0][1])]
    if not found or len(found[0][1]) > _CLASSES:
        return None
    total = _sum([matrix for _, matrix in found])
    summed = runs([one.trial.number for one, _ in found]) + (" summed" if len(found) > 1 else "")
    n = f"n = {sum(map(sum, total)):g} predictions"
    caption = f"Rows: true classes; columns: predicted; colour: share of its row. {summed}, last epoch, {n}."
    chart = _heat_map(total, class_names(found[0][0].extras.get("classes"), len(total)))
    return Picture(file, f"Confusion matrix of the pick on {split}", caption, chart, wide=False)


def confusion_change(evidence: Evidence, winner: Winner, file: str) -> Picture | None:
    """Return how the shares of the rows differ from those of the baseline, or None where either has no matrix."""
    split = evidence.objective.metric.partition("/")[0]
    base = baseline(evidence)
    if base is None or dict(base.params) == dict(winner.configuration):
        return None
    ours = _matrices([one for one in evidence.scored if one.trial.number in winner.trials], split)
    theirs = _matrices(base.scored, split)
    if not ours or not theirs or len(ours[0]) != len(theirs[0]) or len(ours[0]) > _CLASSES:
        return None
    first = next(one for one in evidence.scored if one.trial.number in winner.trials)
    names = class_names(first.extras.get("classes"), len(ours[0]))
    change = [
        [mine - other for mine, other in zip(*rows, strict=True)]
        for rows in zip(_shares(_sum(ours)), _shares(_sum(theirs)), strict=True)
    ]
    caption = (
        f"Share of each row, the pick less the baseline ({label(base.params)}, {runs(base.trials)}), in points; "
        "blue: more often, red: less often."
    )
    title = f"Confusion matrix on {split}: the pick against the baseline"
    return Picture(file, title, caption, _change_map(change, names), wide=False)


def baseline(evidence: Evidence) -> Configuration | None:
    """Return the configuration that the objective names as baseline, else the first of the plan; it needs a score."""
    asked = evidence.objective.baseline
    scored = [one for one in evidence.configurations if one.n]
    if asked is None:
        return evidence.configurations[0] if evidence.configurations and evidence.configurations[0].n else None
    return next((one for one in scored if all(one.params.get(name) == level for name, level in asked.items())), None)


def square(value: object) -> Matrix | None:
    """Return a matrix of counts if that is what the value is, else None: extras may be anything."""
    if not isinstance(value, list) or not value:
        return None
    whole = all(isinstance(row, list) and len(row) == len(value) and all(map(_is_count, row)) for row in value)
    return value if whole else None


def class_names(value: object, count: int) -> list[str]:
    """Return the names of the classes, or their numbers where there are no different names for all of them."""
    names = [str(name) for name in value] if isinstance(value, list) else []
    return names if len(set(names)) == count == len(names) else [str(index) for index in range(count)]


def _is_count(value: object) -> bool:
    return is_number(value) and value >= 0  # type: ignore[operator]


def _sum(matrices: list[Matrix]) -> Matrix:
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def _matrices(observations: Sequence[Observation], split: str) -> list[Matrix]:
    found = [matrix for one in observations if (matrix := square(one.extras.get(f"{split}/confusion")))]
    return [matrix for matrix in found if len(matrix) == len(found[0])]


def _shares(matrix: Matrix) -> Matrix:
    return [[count / (sum(row) or 1) for count in row] for row in matrix]


def _change_map(matrix: Matrix, names: list[str]) -> Chart:
    rows: list[dict[str, Any]] = [
        {"true": names[i], "predicted": names[j], "change": value, "points": f"{100 * value:+.0f}"}
        for i, row in enumerate(matrix)
        for j, value in enumerate(row)
    ]
    most = max(0.05, *(abs(row["change"]) for row in rows))
    x = alt.X(
        "predicted:N",
        sort=None,
        scale=alt.Scale(domain=names),
        axis=alt.Axis(title="predicted", orient="top", labelAngle=-45, labelLimit=120, grid=False),
    )
    y = alt.Y(
        "true:N", sort=None, scale=alt.Scale(domain=names), axis=alt.Axis(title="true", labelLimit=120, grid=False)
    )
    shade = alt.Color(
        "change:Q",
        scale=alt.Scale(range=list(CHANGES), domain=[-most, -most / 2, 0, most / 2, most], interpolate="rgb"),
        legend=None,
    )
    cells = alt.Chart(data(rows)).mark_rect(cornerRadius=2).encode(x=x, y=y, color=shade)
    some = data([row | {"dark": abs(row["change"]) > 0.6 * most} for row in rows if row["points"] not in {"+0", "-0"}])
    ink = alt.condition("datum.dark", alt.value("white"), alt.value(DARK_TEXT))
    texts = alt.Chart(some).mark_text(fontSize=11).encode(x=x, y=y, text="points:N", color=ink)
    small = len(names) <= _CLASSES_WITH_COUNTS
    step = alt.Step(34 if small else 14)
    return alt.layer(*([cells, texts] if small else [cells])).properties(width=step, height=step)


def _heat_map(matrix: Matrix, names: list[str]) -> Chart:
    rows: list[dict[str, Any]] = [
        {"true": names[i], "predicted": names[j], "count": count, "share": count / (sum(row) or 1)}
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
    ]
    axis = alt.Axis(title="predicted", orient="top", labelAngle=-45, labelLimit=120, grid=False)
    x = alt.X("predicted:N", sort=None, scale=alt.Scale(domain=names), axis=axis)
    y = alt.Y(
        "true:N", sort=None, scale=alt.Scale(domain=names), axis=alt.Axis(title="true", labelLimit=120, grid=False)
    )
    shade = alt.Color("share:Q", scale=alt.Scale(range=list(SHADES), domain=[0, 1]), legend=None)
    ink = alt.condition("datum.share > 0.5", alt.value("white"), alt.value(DARK_TEXT))
    cells = alt.Chart(data(rows)).mark_rect(cornerRadius=2).encode(x=x, y=y, color=shade)
    some = data([row for row in rows if row["count"]])
    counts = alt.Chart(some).mark_text(fontSize=11).encode(x=x, y=y, text="count:Q", color=ink)
    small = len(names) <= _CLASSES_WITH_COUNTS
    step = alt.Step(34 if small else 14)
    return alt.layer(*([cells, counts] if small else [cells])).properties(width=step, height=step)
