"""What all pictures of a report share: look, titles, the metric's axis, and how one is drawn to a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import altair as alt
import vl_convert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.analysis.table import Evidence

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart
Item = TypeVar("Item")

ACCENT, BASE, BEHIND, FAINT, INK = "#d9480f", "#2f6690", "#93a1ae", "#b8c4cf", "#22303c"
"""The pick, what is tied with it, what is behind it, the background, text and means."""

_FONT = "Liberation Sans"  # vl-convert brings it along, so that pictures look the same on every machine
_THEME: dict[str, Any] = {
    "background": "white",
    "font": _FONT,
    "padding": 14,
    "view": {"stroke": None},
    "concat": {"spacing": 26},
    "title": {
        "anchor": "start",
        "frame": "group",
        "color": INK,
        "fontSize": 15,
        "subtitleColor": "#5b6b79",
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
        "offset": 12,
    },
    "axis": {
        "domainColor": "#9aa8b5",
        "gridColor": "#e4e9ee",
        "tickColor": "#9aa8b5",
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "bold",
        "labelLimit": 460,
        "titleLimit": 300,
    },
    "legend": {"labelFontSize": 12, "labelColor": INK, "title": None, "orient": "top", "labelLimit": 420},
}


@dataclass(frozen=True)
class Picture:
    """A chart, the file it goes to, and the words that stand beside it."""

    name: str
    title: str
    caption: str
    chart: Chart

    def png(self) -> bytes:
        """Draw the chart, without a browser and without the network."""
        titled = self.chart.properties(title=_title(self.title, self.caption))
        # Names may hold lone surrogates, which the renderer refuses.
        spec = json.dumps(titled.to_dict(), ensure_ascii=False).encode("utf-8", "replace").decode()
        image: bytes = vl_convert.vegalite_to_png(spec, scale=2, config=_THEME, allowed_base_urls=[])
        return image


def data(rows: list[dict[str, Any]]) -> alt.InlineData:
    """Return rows as a chart's data. Fields have fixed names: a hyperparameter may be called anything."""
    return alt.InlineData(values=rows)


def metric_axis(evidence: Evidence, values: Sequence[float]) -> alt.Y:
    """Return the vertical axis of the objective's metric for finite values, one or more."""
    room = 0.06 * ((max(values) - min(values)) or abs(values[0]) or 1.0)
    scale = alt.Scale(domain=[min(values) - room, max(values) + room], nice=False, zero=False)
    return alt.Y("y:Q", scale=scale, axis=alt.Axis(title=evidence.objective.metric, tickCount=6))


def epoch_rule(evidence: Evidence) -> str:
    """Say at which epoch the objective's metric was read."""
    return "at the last epoch" if evidence.objective.at == "last" else "at each trial's best epoch"


def thin(items: Sequence[Item], limit: int) -> list[Item]:
    """Keep at most `limit` items, evenly spread.

    >>> thin(range(10), 5)
    [0, 2, 4, 6, 8]
    """
    return list(items) if len(items) <= limit else [items[at * len(items) // limit] for at in range(limit)]


def share_of(shown: int, total: int) -> str:
    """Return how many of how many are shown, in as few words as possible."""
    return str(total) if shown == total else f"{shown} of {total}"


def _title(text: str, subtitle: str) -> alt.TitleParams:
    return alt.TitleParams(text=_short(text), subtitle=[_short(line) for line in _wrapped(subtitle)])


def _wrapped(text: str, width: int = 96) -> list[str]:
    lines = [""]
    for word in text.split():
        fits = len(lines[-1]) + len(word) < width
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if fits else [*lines, word]
    return lines


def _short(text: str, limit: int = 110) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
