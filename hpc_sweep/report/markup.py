"""HTML, made at one place: whatever is no `Html` is text, and is escaped here."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

from hpc_sweep.report.wording import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
_VOID = frozenset({"meta", "img", "br", "input", "link"})
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Html:
    """Markup that was made here; nothing else makes any."""

    def __init__(self, markup: str) -> None:
        self.markup = markup

    def __add__(self, other: Html) -> Html:
        return Html(self.markup + other.markup)


def text(value: object) -> Html:
    """Return any text as markup that shows it."""
    return Html(html.escape(visible(str(value)), quote=True))


def element(name: str, /, *children: Html | str, **attributes: str | bool | None) -> Html:
    """Return an element. A trailing ``_`` of an attribute is dropped, other ones become hyphens; None leaves it out.

    >>> element("td", "<b>", class_="n", data_key="1").markup
    '<td class="n" data-key="1">&lt;b&gt;</td>'
    """
    assert _NAME.fullmatch(name)
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{join(children).markup}</{name}>")


def join(children: Iterable[Html | str], by: str = "") -> Html:
    """Return markup and text one after the other."""
    return Html(by.join((child if isinstance(child, Html) else text(child)).markup for child in children))


def data_script(name: str, value: object) -> Html:
    """Return JSON that scripts of the page read, and that no text in it can end."""
    told = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character, escape in _UNSAFE_IN_SCRIPT.items():
        told = told.replace(character, escape)
    told = told.encode("utf-8", "replace").decode()
    return Html(f'<script type="application/json" id="{html.escape(name)}">{told}</script>')


def _attribute(key: str, value: str | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    assert _NAME.fullmatch(name)
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{text(value).markup}"'
