"""Parallel coordinates: every configuration as a line across its hyperparameters to its score."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from hpc_sweep.analysis.table import label, level_text
from hpc_sweep.records import canonical
from hpc_sweep.report.drawing import AFTER, BEHIND, INK, PICK, STATES, TIED, Picture, data, share_of, state_color
from hpc_sweep.report.scales import axis_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpc_sweep.analysis.decision import Decision, Entry
    from hpc_sweep.analysis.table import Evidence
    from hpc_sweep.report.drawing import Chart

_LINES, _TICKS = 600, 12
_ABSENT = -0.08


def parallel(evidence: Evidence, decision: Decision, name: str) -> Picture | None:
    """Return the ranked configurations as lines; a page lets its reader brush the axes."""
    swept = [key for key, levels in evidence.space.levels.items() if len(levels) > 1]
    ranked = [entry for entry in decision.leaderboard if entry.rank is not None and entry.mean is not None]
    if not swept or len(ranked) < 2:  # noqa: PLR2004 because one line has nothing to compare with
        return None
    shown, metric = ranked[:_LINES], evidence.objective.metric
    axes = [_axis(key, evidence.space.levels[key]) for key in swept]
    axes.append(_numbers(metric, [entry.mean for entry in shown if entry.mean is not None]))
    strands = [
        {
            "rank": entry.rank,
            "state": _state(entry),
            "label": label(entry.configuration),
            "mean": entry.mean,
            "at": [_at(place, entry, key) for key, (_, place) in zip([*swept, None], axes, strict=True)],
        }
        for entry in shown
    ]
    own = {"axes": [axis for axis, _ in axes], "lines": strands, "metric": metric}
    best = share_of(len(shown), len(ranked))
    caption = f"Each line is one of the best {best} configurations, from its levels to its mean {metric}."
    return Picture(name, f"Configurations and {metric}", caption, _drawn(own), own=own)


def _state(entry: Entry) -> str:
    return PICK if entry.rank == 1 else TIED if entry.tied else AFTER


def _axis(name: str, levels: Sequence[Any]) -> tuple[dict[str, Any], Callable[[Any], float]]:
    """Return a hyperparameter's axis with its ticks between 0 and 1, and the function that puts a level on it."""
    kind = axis_kind(levels)
    if kind in {"log", "linear"}:
        return _numbers(name, [float(level) for level in levels], log=kind == "log", ticks=len(levels) <= _TICKS)
    texts = [level_text(level) for level in levels]
    places = {canonical(level): at / max(1, len(levels) - 1) for at, level in enumerate(levels)}
    ticks = [{"at": place, "text": text} for place, text in zip(places.values(), texts, strict=True)]
    shown = ticks if len(ticks) <= _TICKS else ticks[:: math.ceil(len(ticks) / _TICKS)]
    return {"name": name, "ticks": shown}, lambda level: places[canonical(level)]


def _numbers(
    name: str, values: Sequence[float], *, log: bool = False, ticks: bool = False
) -> tuple[dict[str, Any], Callable[[Any], float]]:
    scaled = [math.log(value) if log else value for value in values]
    least, most = min(scaled), max(scaled)

    def place(value: Any) -> float:  # noqa: ANN401 because levels may be anything that is a number
        number = math.log(float(value)) if log else float(value)
        return (number - least) / (most - least or 1)

    chosen = sorted(set(values)) if ticks else [least + (most - least) * at / 4 for at in range(5)]
    if log and not ticks:
        chosen = [math.exp(value) for value in chosen]
    return {"name": name, "ticks": [{"at": place(value), "text": f"{value:.4g}"} for value in chosen]}, place


def _at(place: Callable[[Any], float], entry: Entry, key: str | None) -> float:
    if key is None:
        return round(place(entry.mean), 4)
    return round(place(entry.configuration[key]), 4) if key in entry.configuration else _ABSENT


def _drawn(own: dict[str, Any]) -> Chart:
    """Return the lines as a still picture."""
    places = range(len(own["axes"]))
    order = {state: at for at, state in enumerate(reversed(STATES))}
    rows = [
        {"axis": at, "y": y, "line": line["rank"], "state": line["state"]}
        for line in sorted(own["lines"], key=lambda one: order[one["state"]])
        for at, y in enumerate(line["at"])
    ]
    ticks = [
        {"axis": at, "y": tick["at"], "text": tick["text"]}
        for at, axis in enumerate(own["axes"])
        for tick in axis["ticks"]
    ]
    heads = [{"axis": at, "y": 1.1, "text": axis["name"]} for at, axis in enumerate(own["axes"])]
    x = alt.X("axis:Q", axis=None, scale=alt.Scale(domain=[-0.3, len(places) - 0.7], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-0.1, 1.12], nice=False))
    layers = [
        alt.Chart(data([{"axis": at, "y": 0.0, "y2": 1.0} for at in places]))
        .mark_rule(color=BEHIND)
        .encode(x=x, y=y, y2="y2:Q")
    ]
    for state, width, opacity in ((AFTER, 1.0, 0.35), (TIED, 1.3, 0.6), (PICK, 3.0, 1.0)):
        some = [row for row in rows if row["state"] == state]
        lines = alt.Chart(data(some)).mark_line(strokeWidth=width, strokeOpacity=opacity)
        layers.append(lines.encode(x=x, y=y, detail="line:N", color=state_color()))
    layers.append(
        alt.Chart(data(ticks)).mark_text(align="left", dx=6, fontSize=11, color=INK).encode(x=x, y=y, text="text:N")
    )
    layers.append(
        alt.Chart(data(heads)).mark_text(fontSize=12, fontWeight="bold", color=INK).encode(x=x, y=y, text="text:N")
    )
    return alt.layer(*layers).properties(width=max(460, 130 * len(places)), height=300)
