"""The pictures of a report. Titles, axes and captions come from the keys in the data, so none can disagree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from hpc_sweep.analysis.naming import runs
from hpc_sweep.analysis.table import label, level_means, level_text, short_names
from hpc_sweep.records import canonical
from hpc_sweep.report import heat, scatter, strands
from hpc_sweep.report.confusion import confusion_change, confusion_matrix
from hpc_sweep.report.drawing import (
    ACCENT,
    AFTER,
    BASE,
    FAINT,
    INK,
    PICK,
    STATES,
    TIED,
    Picture,
    data,
    epoch_rule,
    fast,
    metric_axis,
    share_of,
    thin,
    tip,
)
from hpc_sweep.report.scales import axis_kind
from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hpc_sweep.analysis.decision import Decision, Entry
    from hpc_sweep.analysis.table import Evidence, Observation
    from hpc_sweep.report.drawing import Chart

BY_HYPERPARAMETER = "metric-by-hyperparameter.png"
LEARNING_CURVES = "learning-curves.png"
LEADERBOARD = "leaderboard.png"
CONFUSION = "confusion-matrix.png"
CONFUSION_CHANGE = "confusion-difference.png"
PAIRWISE = "pairs-of-hyperparameters.png"
PARALLEL = "parallel-coordinates.png"
FIT = "train-against-validation.png"
COST = "cost.png"
COVERAGE = "coverage.png"
IMPORTANCE = "importance.png"
FRONT = "several-metrics.png"
NAMES = (
    LEADERBOARD,
    IMPORTANCE,
    BY_HYPERPARAMETER,
    PAIRWISE,
    PARALLEL,
    LEARNING_CURVES,
    FIT,
    CONFUSION,
    CONFUSION_CHANGE,
    FRONT,
    COVERAGE,
    COST,
)
"""Every file that can be among the pictures of a report."""

_DOTS = 2000
_LINES = 150
_ROWS = 15
_TICKS = 8
_COLUMNS = 3
_LETTERS = 34


def pictures(evidence: Evidence, decision: Decision) -> list[Picture]:
    """Return every picture that the evidence allows; without a score there is none."""
    if not evidence.scored:
        return []
    with fast():
        return [picture for picture in _drawn(evidence, decision) if picture is not None]


def _drawn(evidence: Evidence, decision: Decision) -> list[Picture | None]:
    picked = set(decision.winner.trials) if decision.winner else set()
    return [
        _leaderboard(evidence, decision),
        scatter.importance(decision, IMPORTANCE),
        _by_hyperparameter(evidence, picked),
        heat.pairwise(evidence, PAIRWISE),
        strands.parallel(evidence, decision, PARALLEL),
        _learning_curves(evidence, picked),
        scatter.fit(evidence, decision, FIT),
        confusion_matrix(evidence, decision.winner, CONFUSION) if decision.winner else None,
        confusion_change(evidence, decision.winner, CONFUSION_CHANGE) if decision.winner else None,
        scatter.front(evidence, decision, FRONT),
        heat.coverage(evidence, COVERAGE),
        scatter.cost(evidence, decision, seconds_of(evidence), COST),
    ]


def seconds_of(evidence: Evidence) -> dict[int, float]:
    """Return how long each trial took, by its number, for those that say it."""
    records = {row.trial.number: row.result or row.failure or {} for row in evidence.ledger.rows}
    told = {number: record.get("seconds") for number, record in records.items()}
    return {number: float(value) for number, value in told.items() if is_number(value)}  # type: ignore[arg-type]


def _by_hyperparameter(evidence: Evidence, picked: set[int]) -> Picture | None:
    names = [name for name, levels in evidence.space.levels.items() if len(levels) > 1]
    if not names:
        return None
    shown = thin(evidence.scored, _DOTS)
    panels = [_panel(evidence, name, shown, picked) for name in names]
    caption = (
        f"{evidence.objective.metric} {epoch_rule(evidence)}; one dot for each of "
        f"{share_of(len(shown), len(evidence.scored))} trials; diamonds: means over the configurations of a level"
    )
    caption += f"; orange: the pick, {runs(sorted(picked))}." if picked else "."
    title = f"{evidence.objective.metric} by hyperparameter"
    return Picture(BY_HYPERPARAMETER, title, caption, alt.concat(*panels, columns=_COLUMNS), panels=panels)


def _panel(evidence: Evidence, name: str, shown: Sequence[Observation], picked: set[int]) -> Chart:
    levels = evidence.space.levels[name]
    x, place = _level_axis(name, levels)
    y = metric_axis(evidence, [one.value for one in shown])
    having = [one for one in shown if name in one.trial.params]
    dots = _dots((one for one in having if one.trial.number not in picked), name, place)
    marked = _dots((one for one in having if one.trial.number in picked), name, place)
    means = [
        {"x": place(level.level), "y": level.mean, "order": at}
        for at, level in enumerate(level_means(evidence, name))
        if level.n > 1
    ]
    tooltip = [
        tip("run:Q", "run"),
        tip("x:N", name),
        tip("y:Q", evidence.objective.metric, ".4g"),
    ]
    layers = [
        alt.Chart(data(dots))
        .mark_circle(size=46, color=BASE, opacity=1, fillOpacity=0.45)
        .encode(x=x, y=y, tooltip=tooltip)
    ]
    if axis_kind(levels) != "nominal":
        layers.append(alt.Chart(data(means)).mark_line(color=INK, strokeWidth=2).encode(x=x, y=y, order="order:Q"))
    diamonds = alt.Chart(data(means)).mark_point(shape="diamond", size=80, color=INK, filled=True, opacity=1)
    orange = alt.Chart(data(marked)).mark_circle(size=110, color=ACCENT, opacity=1)
    return alt.layer(*layers, diamonds.encode(x=x, y=y), orange.encode(x=x, y=y, tooltip=tooltip)).properties(
        width=250, height=220
    )


def _dots(observations: Iterable[Observation], name: str, place: Callable[[Any], Any]) -> list[dict[str, Any]]:
    return [{"x": place(one.trial.params[name]), "y": one.value, "run": one.trial.number} for one in observations]


def _level_axis(name: str, levels: Sequence[Any]) -> tuple[alt.X, Callable[[Any], Any]]:
    """Return the axis of a hyperparameter, and the function that puts a level on it."""
    kind = axis_kind(levels)
    if kind in {"log", "linear"}:
        ticks: Any = [float(level) for level in levels] if len(levels) <= _TICKS else alt.Undefined
        plain = {"type": "log"} if kind == "log" else {"type": "linear", "zero": False}
        scale = alt.Scale(**plain, nice=False, padding=18)
        return alt.X("x:Q", scale=scale, axis=alt.Axis(title=name, values=ticks, format="~g", grid=False)), float
    texts = [level_text(level) for level in levels]
    labels = texts if len(set(texts)) == len(texts) else [canonical(level) for level in levels]
    placed = dict(zip(map(canonical, levels), labels, strict=True))
    angle = -30 if sum(map(len, labels)) > _LETTERS else 0
    axis = alt.Axis(title=name, labelAngle=angle, labelLimit=140, grid=False)
    return alt.X("x:N", sort=None, scale=alt.Scale(domain=labels), axis=axis), lambda level: placed[canonical(level)]


def _learning_curves(evidence: Evidence, picked: set[int]) -> Picture | None:
    metric = evidence.objective.metric
    with_curve = [one for one in evidence.observations if len(one.curve(metric)) > 1]
    if not with_curve:
        return None
    winners = [one for one in with_curve if one.trial.number in picked]
    others = [one for one in with_curve if one.trial.number not in picked]
    faint = thin(others, _LINES)
    train = f"train/{metric.partition('/')[2]}"
    rows = {
        "other trials": _line_rows("other trials", metric, faint),
        f"the pick, {train}": _line_rows(f"the pick, {train}", train, winners if train != metric else ()),
        f"the pick, {metric}": _line_rows(f"the pick, {metric}", metric, winners),
    }
    caption = f"{metric} after each epoch. Faint: {share_of(len(faint), len(others))} other trials"
    caption += f"; orange: {runs(sorted(picked))}." if winners else "."
    return Picture(LEARNING_CURVES, f"Learning curves: {metric}", caption, _lines(rows, metric))


def _lines(rows: dict[str, list[dict[str, Any]]], metric: str) -> Chart:
    series = [name for name in rows if rows[name]]
    looks = dict(zip(rows, [(FAINT, [1, 0], 1.2), (INK, [5, 4], 1.8), (ACCENT, [1, 0], 2.6)], strict=True))
    color = alt.Scale(domain=series, range=[looks[name][0] for name in series])
    dash = alt.Scale(domain=series, range=[looks[name][1] for name in series])
    x = alt.X("epoch:Q", axis=alt.Axis(title="epoch", tickMinStep=1, format="d"), scale=alt.Scale(nice=False))
    y = alt.Y("y:Q", scale=alt.Scale(zero=False), axis=alt.Axis(title=metric))
    legend = alt.Legend(symbolSize=500, symbolStrokeWidth=2.5)
    layers = [
        alt.Chart(data(rows[name]))
        .mark_line(strokeWidth=looks[name][2])
        .encode(x=x, y=y, detail="trial:N", color=alt.Color("series:N", scale=color, legend=legend))
        .encode(strokeDash=alt.StrokeDash("series:N", scale=dash, legend=legend))
        for name in series
    ]
    return alt.layer(*layers).properties(width=640, height=300)


def _line_rows(series: str, metric: str, shown: Iterable[Observation]) -> list[dict[str, Any]]:
    return [
        {"trial": one.trial.number, "epoch": epoch, "y": value, "series": series}
        for one in shown
        for epoch, value in enumerate(one.curve(metric), start=1)
        if math.isfinite(value)
    ]


def _leaderboard(evidence: Evidence, decision: Decision) -> Picture | None:
    ranked = [entry for entry in decision.leaderboard if entry.rank is not None]
    if not ranked:
        return None
    shown, metric = ranked[:_ROWS], evidence.objective.metric
    score = "mean over replicates" if any(entry.n > 1 for entry in shown) else "one trial"
    caption = f"The best {share_of(len(shown), len(ranked))} configurations; diamond: {score}"
    with_interval = any(entry.interval for entry in shown)
    caption += "; cross: shrunk score"
    caption += (
        "; dot: replicate; bar: 95 % interval of the shrunk score, given the replicates used." if with_interval else "."
    )
    values = {one.trial.number: one.value for one in evidence.scored}
    chart = _ladder(shown, values, f"{metric} {epoch_rule(evidence)}")
    return Picture(LEADERBOARD, f"Leaderboard: {metric}", caption, chart)


def _ladder(shown: Sequence[Entry], values: dict[int, float], title: str) -> Chart:
    short = short_names({name: None for entry in shown for name in entry.configuration})
    named = [{short[name]: value for name, value in entry.configuration.items()} for entry in shown]
    names = [f"#{entry.rank}  {label(one)}" for entry, one in zip(shown, named, strict=True)]
    rows = [{"row": name, "state": _state(entry)} for name, entry in zip(names, shown, strict=True)]
    means = [row | {"x": entry.mean} for row, entry in zip(rows, shown, strict=True)]
    dots = [
        row | {"x": values[number]} for row, one in zip(rows, shown, strict=True) for number in one.trials if one.n > 1
    ]
    spans = [
        row | {"x": e.interval[0], "high": e.interval[1]} for row, e in zip(rows, shown, strict=True) if e.interval
    ]
    y = alt.Y(
        "row:N",
        sort=None,
        scale=alt.Scale(domain=names),
        axis=alt.Axis(title=None, grid=True, ticks=False, domain=False, labelPadding=10),
    )
    x = alt.X("x:Q", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(title=title, tickCount=6))
    color = alt.Color("state:N", scale=alt.Scale(domain=list(STATES), range=list(STATES.values())))
    bars = (
        alt.Chart(data(spans)).mark_rule(strokeWidth=2.5, strokeOpacity=0.55).encode(x=x, x2="high:Q", y=y, color=color)
    )
    circles = alt.Chart(data(dots)).mark_circle(size=34, opacity=1, fillOpacity=0.5).encode(x=x, y=y, color=color)
    diamonds = alt.Chart(data(means)).mark_point(shape="diamond", size=110, filled=True, opacity=1)
    shrunk = [row | {"x": entry.shrunk} for row, entry in zip(rows, shown, strict=True) if entry.shrunk is not None]
    crosses = (
        alt.Chart(data(shrunk))
        .mark_point(shape="cross", size=60, filled=True, opacity=1, fillOpacity=0.9)
        .encode(x=x, y=y, color=color)
    )
    leader = alt.Chart(data(means[:1])).mark_rule(color=ACCENT, strokeDash=[3, 3], strokeOpacity=0.6).encode(x=x)
    layers = alt.layer(leader, bars, circles, crosses, diamonds.encode(x=x, y=y, color=color))
    return layers.properties(width=460, height=26 * len(shown))


def _state(entry: Entry) -> str:
    return PICK if entry.rank == 1 else TIED if entry.tied else AFTER
