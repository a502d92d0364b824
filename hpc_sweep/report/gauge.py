"""The small picture on the winner's card: where its score and interval lie between the worst and the best mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_sweep.report.markup import Html, element
from hpc_sweep.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDTH, _MARGIN = 320, 8


def gauge(places: Mapping[str, float], metric: str) -> Html:
    """Return a picture of `least`, `most`, `observed`, and, where they are known, `shrunk`, `low` and `high`."""
    least, most = places["least"], places["most"]

    def x(value: float) -> float:
        return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * (value - least) / (most - least), 1)

    parts = [_line(x(least), x(most), "axis")]
    if "low" in places:
        parts.append(_line(x(places["low"]), x(places["high"]), "spread"))
    if "shrunk" in places:
        parts.append(element("circle", cx=str(x(places["shrunk"])), cy="16", r="5", class_="shrunk"))
    at = x(places["observed"])
    parts.append(element("path", d=f"M{at - 6} 16L{at} 9L{at + 6} 16L{at} 23Z", class_="observed"))
    parts.append(element("text", number(least), x=str(_MARGIN), y="42"))
    parts.append(element("text", number(most), x=str(_WIDTH - _MARGIN), y="42", class_="end"))
    told = f"{metric}: observed {number(places['observed'])} between {number(least)} and {number(most)}"
    told += f", shrunk {number(places['shrunk'])}" if "shrunk" in places else ""
    drawn = element("svg", *parts, viewBox=f"0 0 {_WIDTH} 48", role="img", aria_label=told, class_="gauge")
    legend = "Diamond: observed; dot: shrunk; bar: interval or range; axis: from the worst to the best mean."
    return element("div", drawn, element("p", legend, class_="legend"))


def _line(start: float, end: float, kind: str) -> Html:
    return element("line", x1=str(start), x2=str(end), y1="16", y2="16", class_=kind)
