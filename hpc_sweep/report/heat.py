"""Pictures made of tiles: pairs of hyperparameters, and where every trial stands."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from hpc_sweep.analysis.table import level_text
from hpc_sweep.records import canonical
from hpc_sweep.report.drawing import DARK_TEXT, SHADES, Picture, data, tip
from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpc_sweep.analysis.table import Evidence
    from hpc_sweep.report.drawing import Chart

_PAIRS, _LEVELS, _BINS, _TILES, _COLUMNS = 6, 12, 6, 2000, 40
_MANY_CELLS = 60
STATUSES = {
    "completed": "#4c8fbd",
    "pruned": "#9db8c9",
    "running": "#e0b33c",
    "planned": "#b9c2ca",
    "diverged": "#c2591b",
    "failed": "#b3261e",
    "lost": "#7d4a9c",
    "held": "#8a7a2f",
}


def pairwise(evidence: Evidence, name: str) -> Picture | None:
    """Return a map of the mean metric for each pair of hyperparameters, of the first pairs where there are many."""
    swept = [key for key, levels in evidence.space.levels.items() if len(levels) > 1]
    pairs = list(itertools.combinations(swept, 2))
    shown = [panel for pair in pairs[:_PAIRS] if (panel := _panel(evidence, *pair)) is not None]
    if not shown:
        return None
    metric = evidence.objective.metric
    told = f"Mean {metric} of the configurations of each pair of levels; empty: none ran; no test."
    left = f" {len(shown)} of {len(pairs)} pairs." if len(shown) < len(pairs) else ""
    chart = alt.concat(*shown, columns=3)
    return Picture(name, f"{metric} by pairs of hyperparameters", told + left, chart, panels=shown)


def coverage(evidence: Evidence, name: str) -> Picture | None:
    """Return a tile for every planned trial, by number, coloured by where it stands."""
    observations = evidence.observations[:_TILES]
    if len(observations) < 2:  # noqa: PLR2004 because one tile is no map
        return None
    columns = min(_COLUMNS, len(observations))
    rows = [
        {"x": at % columns, "y": at // columns, "run": one.trial.number, "status": one.status.value}
        for at, one in enumerate(observations)
    ]
    present = [status for status in STATUSES if any(row["status"] == status for row in rows)]
    color = alt.Color(
        "status:N",
        scale=alt.Scale(domain=present, range=[STATUSES[status] for status in present]),
        legend=alt.Legend(title=None, orient="top"),
    )
    tooltip = [tip("run:Q", "run"), tip("status:N", "status")]
    chart = (
        alt.Chart(data(rows))
        .mark_rect(cornerRadius=3)
        .encode(
            x=alt.X("x:O", axis=None, scale=alt.Scale(paddingInner=0.14)),
            y=alt.Y("y:O", axis=None, scale=alt.Scale(paddingInner=0.14)),
            color=color,
            tooltip=tooltip,
        )
        .properties(width=max(180, 16 * columns), height=16 * math.ceil(len(rows) / columns))
    )
    left = f" The first {len(rows)} of {len(evidence.observations)}." if len(rows) < len(evidence.observations) else ""
    told = f"One tile for each planned trial, by number from the top left, {columns} in a row.{left}"
    return Picture(name, "Where every trial stands", told, chart)


def _panel(evidence: Evidence, first: str, second: str) -> Chart | None:
    column, columns = _places(evidence.space.levels[first])
    row, rows = _places(evidence.space.levels[second])
    if not columns or not rows:
        return None
    cells: dict[tuple[str, str], list[float]] = {}
    for one in evidence.configurations:
        if one.n and first in one.params and second in one.params:
            cells.setdefault((column(one.params[first]), row(one.params[second])), []).append(one.mean)
    values: list[dict[str, Any]] = [
        {"x": x, "y": y, "mean": math.fsum(found) / len(found), "n": len(found)} for (x, y), found in cells.items()
    ]
    if not values:
        return None
    return _map(values, (first, columns), (second, rows), evidence)


def _map(
    values: list[dict[str, Any]], across: tuple[str, list[str]], down: tuple[str, list[str]], evidence: Evidence
) -> Chart:
    means = [row["mean"] for row in values]
    least, most = min(means), max(means)
    upward = evidence.objective.mode != "min"
    for row in values:
        share = (row["mean"] - least) / (most - least or 1)
        row["dark"] = (share if upward else 1 - share) > 0.5  # noqa: PLR2004 because it is the middle of the shades
    shades = list(SHADES) if upward else list(reversed(SHADES))
    color = alt.Color("mean:Q", scale=alt.Scale(range=shades, domain=[least, most]), legend=None)
    x = alt.X(
        "x:N",
        sort=None,
        scale=alt.Scale(domain=across[1]),
        axis=alt.Axis(title=across[0], labelAngle=0, labelLimit=90, grid=False),
    )
    y = alt.Y(
        "y:N", sort=None, scale=alt.Scale(domain=down[1]), axis=alt.Axis(title=down[0], labelLimit=90, grid=False)
    )
    tooltip = [
        tip("x:N", "across"),
        tip("y:N", "down"),
        tip("mean:Q", "mean", ".4g"),
        tip("n:Q", "configurations"),
    ]
    tiles = alt.Chart(data(values)).mark_rect(cornerRadius=2).encode(x=x, y=y, color=color, tooltip=tooltip)
    layers: list[Any] = [tiles]
    if len(values) <= _MANY_CELLS:
        ink = alt.condition("datum.dark", alt.value("white"), alt.value(DARK_TEXT))
        text = alt.Text("mean:Q", format=".3g")
        layers.append(alt.Chart(data(values)).mark_text(fontSize=11).encode(x=x, y=y, text=text, color=ink))
    return alt.layer(*layers).properties(width=250, height=max(70, 34 * len(down[1])))


def _places(levels: Sequence[Any]) -> tuple[Callable[[Any], str], list[str]]:
    """Return how a level is named on an axis, and the names in order; many numbers go into bins of equal counts."""
    if len(levels) <= _LEVELS:
        texts = [level_text(level) for level in levels]
        names = texts if len(set(texts)) == len(texts) else [canonical(level) for level in levels]
        placed = dict(zip(map(canonical, levels), names, strict=True))
        return (lambda level: placed[canonical(level)]), names
    if not all(map(is_number, levels)):
        return str, []
    edges = np.unique(np.quantile(np.asarray(levels, dtype=float), np.linspace(0, 1, _BINS + 1)))
    names = [f"{low:.2g} to {high:.2g}" for low, high in itertools.pairwise(edges)]
    last = len(names) - 1
    return (lambda level: names[min(last, int(np.searchsorted(edges, level, side="right")) - 1)]), names
