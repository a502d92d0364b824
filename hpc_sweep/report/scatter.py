"""Pictures of trials as points (train against validation, cost, several metrics), and of importance as bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from hpc_sweep.analysis.front import directions, means
from hpc_sweep.report.drawing import (
    ACCENT,
    AFTER,
    BASE,
    BEHIND,
    INK,
    PICK,
    STATES,
    Picture,
    data,
    share_of,
    state_color,
    state_of,
    thin,
    tip,
)
from hpc_sweep.space import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.analysis.table import Evidence
    from hpc_sweep.report.drawing import Chart

_DOTS = 2000


def fit(evidence: Evidence, decision: Decision, name: str) -> Picture | None:
    """Return the objective's metric against the same one on the training set, a dot for each trial."""
    metric = evidence.objective.metric
    train = f"train/{metric.partition('/')[2]}"
    found = [one for one in evidence.scored if math.isfinite(one.metrics.get(train, math.nan))]
    if train == metric or not found:
        return None
    state = state_of(decision)
    shown = thin(found, _DOTS)
    rows = [_dot(one.trial.number, one.metrics[train], one.value, state) for one in shown]
    ends = [f([row[axis] for row in rows for axis in ("x", "y")]) for f in (min, max)]
    line = alt.Chart(data([{"x": end, "y": end} for end in ends])).mark_line(color=BEHIND, strokeDash=[4, 4])
    chart = alt.layer(line.encode(x="x:Q", y="y:Q"), _dots(rows, train, metric)).properties(width=460, height=300)
    dots = f"One dot for each of {share_of(len(shown), len(found))} trials"
    caption = f"{dots}, at the epoch that counts; on the line both are equal."
    return Picture(name, f"{metric} against {train}", caption, chart)


def cost(evidence: Evidence, decision: Decision, seconds: Mapping[int, float], name: str) -> Picture | None:
    """Return the metric against the time a trial took."""
    found = [one for one in evidence.scored if one.trial.number in seconds]
    if len({seconds[one.trial.number] for one in found}) < 2:  # noqa: PLR2004 because one time is no axis
        return None
    state, metric = state_of(decision), evidence.objective.metric
    shown = thin(found, _DOTS)
    rows = [_dot(one.trial.number, seconds[one.trial.number], one.value, state) for one in shown]
    caption = f"One dot for each of {share_of(len(shown), len(found))} trials that counts."
    chart = _dots(rows, "seconds", metric).properties(width=460, height=260)
    return Picture(name, f"{metric} against trial seconds", caption, chart)


def front(evidence: Evidence, decision: Decision, name: str) -> Picture | None:
    """Return the first two metrics that have a direction against each other, with the front and the constraints."""
    ways = list(directions(evidence))
    if not decision.front:
        return None
    down, across = ways[0], ways[1]
    best = {configuration(one["configuration"]) for one in decision.front}
    picked = configuration(decision.winner.configuration) if decision.winner else ""
    rows = []
    for one in thin([one for one in evidence.configurations if one.n], _DOTS):
        values, key = means(one, dict.fromkeys(ways, 1)), configuration(one.params)
        if values is not None:
            state = PICK if key == picked else "on the front" if key in best else AFTER
            rows.append({"x": values[across], "y": values[down], "run": one.first, "state": state})
    colors = {PICK: ACCENT, "on the front": BASE, AFTER: BEHIND}
    dots = _dots(rows, across, down, colors)
    limits = [limit for limit in evidence.objective.limits if limit.metric == across]
    rules = [
        alt.Chart(data([{"x": one.bound}])).mark_rule(color=INK, strokeDash=[2, 3]).encode(x="x:Q") for one in limits
    ]
    caption = f"Means of configurations; on the front of {', '.join(ways)}: beaten by no other in all of them."
    caption += f" Dotted: {', '.join(map(str, limits))}." if limits else ""
    return Picture(name, f"{down} against {across}", caption, alt.layer(*rules, dots).properties(width=460, height=300))


def importance(decision: Decision, name: str) -> Picture | None:
    """Return the share that each hyperparameter explains, with its bootstrap interval."""
    shares: Sequence[Mapping[str, Any]] = decision.evidence.get("importance") or []
    if not shares:
        return None
    rows = [{"name": one["name"], "share": one["share"], "low": one["low"], "high": one["high"]} for one in shares]
    order = [row["name"] for row in rows]
    y = alt.Y(
        "name:N",
        sort=None,
        scale=alt.Scale(domain=order),
        axis=alt.Axis(title=None, labelLimit=220, ticks=False, domain=False),
    )
    x = alt.X(
        "share:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", title="share of the differences", tickCount=5),
    )
    bars = (
        alt.Chart(data(rows))
        .mark_bar(color=BASE, fillOpacity=0.75, height={"band": 0.6}, cornerRadiusEnd=3)
        .encode(x=x, y=y)
    )
    known = [row for row in rows if row["low"] is not None]
    rules = alt.Chart(data(known)).mark_rule(color=INK, strokeWidth=2).encode(x="low:Q", x2="high:Q", y=y)
    caption = "Share of the variance between configurations that the levels of each explain by themselves"
    caption += "; line: 95 % bootstrap interval." if known else "; no noise is known, so there is no interval."
    return Picture(
        name,
        "Importance of the hyperparameters",
        caption,
        alt.layer(bars, rules).properties(width=460, height=28 * len(rows)),
    )


def _dot(run: int, x: float, y: float, state: Mapping[int, str]) -> dict[str, Any]:
    return {"x": x, "y": y, "run": run, "state": state.get(run, AFTER)}


def _dots(rows: list[dict[str, Any]], across: str, down: str, colors: Mapping[str, str] = STATES) -> Chart:
    """Return a dot for each row, those of the pick on top."""
    ordered = sorted(rows, key=lambda row: list(colors).index(row["state"]), reverse=True)
    tooltip = [
        tip("run:Q", "run"),
        tip("x:Q", across, ".4g"),
        tip("y:Q", down, ".4g"),
    ]
    color = (
        state_color()
        if colors is STATES
        else alt.Color("state:N", scale=alt.Scale(domain=list(colors), range=list(colors.values())))
    )
    chart: Chart = (
        alt.Chart(data(ordered))
        .mark_circle(size=64, opacity=1, fillOpacity=0.75)
        .encode(
            x=alt.X("x:Q", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(title=across, tickCount=6)),
            y=alt.Y("y:Q", scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(title=down, tickCount=6)),
            color=color,
            tooltip=tooltip,
        )
    )
    return chart
