"""What all pictures of a report share: look, titles, the metric's axis, and how one is drawn to a file."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.analysis.table import Evidence

Chart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart
Item = TypeVar("Item")

ACCENT, BASE, BEHIND, FAINT, INK = "#d9480f", "#2f6690", "#93a1ae", "#b8c4cf", "#22303c"
"""The pick, what is tied with it, what is behind it, the background, text and means."""

PICK, TIED, AFTER = "the pick", "tied with it", "behind"
STATES = {PICK: ACCENT, TIED: BASE, AFTER: BEHIND}
SHADES = ("#dbe7f1", "#9fbfd8", "#5b92bb", "#2b6595", "#14395c")
"""From little to much, the same on a light and a dark page; text on it is `DARK_TEXT` or white."""

CHANGES = ("#b4431b", "#e9a98f", "#eef1f4", "#8fb3d1", "#1f5d91")
"""From less over equal to more."""

DARK_TEXT = "#14202b"
_VARIABLES = {
    ACCENT: "var(--accent)",
    BASE: "var(--base)",
    BEHIND: "var(--behind)",
    FAINT: "var(--faint)",
    INK: "var(--ink)",
}
SCALE = 1.5
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD}
_OF_OBJECTS = frozenset(
    [
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
    ]
)
_RENDERER = version("vl-convert-python")
_IHDR, _HEAD = 33, 256
"""Bytes of a PNG file up to the end of its first chunk, and in which what it was drawn from is looked for."""
_TITLE = 40
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_ ./=@-]")
_DATA = frozenset({"datasets", "data", "domain", "sort"})
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


PAGE_THEME: dict[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "padding": 4,
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--grid)",
        "tickColor": "var(--line)",
        "labelColor": "var(--soft)",
        "titleColor": "var(--ink)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 600,
        "labelLimit": 260,
        "titleLimit": 260,
    },
    "legend": {"labelFontSize": 12, "labelColor": "var(--ink)", "title": None, "orient": "top", "labelLimit": 300},
}
"""The look of charts on a page, which defines the colours."""


@dataclass(frozen=True)
class Picture:
    """A chart, the file it goes to, and the words that stand beside it.

    On a page, ``panels`` stand in place of the chart where it consists of several; ``own`` is the data of a picture
    that the page draws itself.
    """

    name: str
    title: str
    caption: str
    chart: Chart
    panels: Sequence[Chart] = ()
    own: Mapping[str, Any] = field(default_factory=dict)
    wide: bool = True

    def specs(self) -> list[dict[str, Any]]:
        """Return the Vega-Lite specifications for a page, in colours that the page defines for light and dark."""
        told = [specification(panel) for panel in self.panels] or [self._spec]
        return [_for_page(spec, wide=self.wide) for spec in told]

    def png(self, before: bytes = b"") -> bytes:
        """Draw the chart, without a browser and without the network.

        ``before`` is what the file holds: drawn from the same specification it is returned, for drawing takes longer
        than all the rest of a report.
        """
        titled = {**self._spec, "title": _drawable(_title(self.title, self.caption))}
        # Names may hold lone surrogates, which the renderer refuses.
        spec = json.dumps(titled, ensure_ascii=False).encode("utf-8", "replace").decode()
        source = _source(spec)
        if source in before[:_HEAD]:
            return before
        image: bytes = vl_convert.vegalite_to_png(spec, scale=SCALE, config=_THEME, allowed_base_urls=[])
        return image[:_IHDR] + source + image[_IHDR:]

    @cached_property
    def _spec(self) -> dict[str, Any]:
        return specification(self.chart)


def _source(spec: str) -> bytes:
    """Return the chunk of a PNG file that names what it was drawn from: specification, look and renderer."""
    content = json.dumps([spec, _THEME, SCALE, _RENDERER]).encode("utf-8", "surrogatepass")
    chunk = b"tEXt" + b"Source\0sha256:" + hashlib.sha256(content).hexdigest().encode()
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


def specification(chart: Chart) -> dict[str, Any]:
    """Return a chart as Vega-Lite. It is not checked against the schema here, which would take longer than the rest."""
    spec: dict[str, Any] = _drawable(chart.to_dict(validate=False))
    return spec


def fast() -> AbstractContextManager[None]:
    """Return a context in which charts are made without being checked, which the tests do."""
    return debug_mode(False)  # noqa: FBT003 because the function has one argument


def tip(field: str, title: str, shown: str | None = None) -> alt.Tooltip:
    """Return one line of a tooltip. Its title becomes part of an expression, so that only plain characters stay."""
    plain = _NOT_PLAIN.sub("_", title)[:_TITLE]
    return alt.Tooltip(field, title=plain, format=shown) if shown else alt.Tooltip(field, title=plain)


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


def state_of(decision: Decision) -> dict[int, str]:
    """Return for every trial that counts whether its configuration is the pick, tied with it, or behind."""
    found: dict[int, str] = {}
    for entry in decision.leaderboard:
        state = PICK if entry.rank == 1 else TIED if entry.tied else AFTER
        found |= dict.fromkeys(entry.trials, state)
    return found


def state_color() -> alt.Color:
    """Return the colours of the pick, of what is tied with it, and of the rest."""
    return alt.Color("state:N", scale=alt.Scale(domain=list(STATES), range=list(STATES.values())))


def _for_page(spec: dict[str, Any], *, wide: bool) -> dict[str, Any]:
    """Put the page's colour variables in place of the colours, and let the chart take the width that there is."""
    shown = {key: value if key in _DATA else _recoloured(value) for key, value in spec.items()}
    shown.pop("$schema", None)
    shown.pop("config", None)
    if wide:
        shown["width"] = "container"
        shown["autosize"] = {"type": "fit-x", "contains": "padding"}
    return shown


def _drawable(value: Any) -> Any:  # noqa: ANN401 because a specification is any JSON
    """Write the texts that cannot be drawn in another way.

    Vega keeps groups in plain objects, so that a level must not be called like what every object has; the renderer ends
    the whole process at a character that XML does not have, so that control characters become their pictures (U+0007
    becomes U+2407).
    """
    if isinstance(value, dict):
        return {key: _drawable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_drawable(one) for one in value]
    if isinstance(value, str):
        return f"{value} " if value in _OF_OBJECTS else value.translate(_PICTURES)
    return value


def _recoloured(value: Any) -> Any:  # noqa: ANN401 because a specification is any JSON
    if isinstance(value, dict):
        return {key: one if key in _DATA else _recoloured(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_recoloured(one) for one in value]
    return _VARIABLES.get(value, value) if isinstance(value, str) else value


def _title(text: str, subtitle: str) -> dict[str, Any]:
    return {"text": _short(text), "subtitle": [_short(line) for line in _wrapped(subtitle)]}


def _wrapped(text: str, width: int = 96) -> list[str]:
    lines = [""]
    for word in text.split():
        fits = len(lines[-1]) + len(word) < width
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if fits else [*lines, word]
    return lines


def _short(text: str, limit: int = 110) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
