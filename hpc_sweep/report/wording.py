"""Words and numbers as Markdown: whatever a configuration or an error says stays text."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_MARKUP = re.compile(r"[\\`*_\[\]|~$]")
_LINK = re.compile(r"(://|www\.)", re.IGNORECASE)
_SIMPLE = re.compile(r"[A-Za-z0-9_./=+-]+")
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_HYDRA_PLAIN = re.compile(r"[A-Za-z0-9_./~+%@-]+")
_SMALL, _MANY_DIGITS, _LARGE = 0.001, 100, 1e6
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def text(value: object, limit: int | None = None) -> str:
    r"""Return any text on one line, without power over the document: no markup, no HTML, no link.

    >>> print(text("a|b <i>*c*"))
    a\|b &lt;i&gt;\*c\*
    """
    line = " ".join(str(value).split())
    if limit is not None and len(line) > limit:
        line = line[: limit - 1] + "…"
    shown = _MARKUP.sub(r"\\\g<0>", visible(line)).translate(_ENTITIES)
    return _LINK.sub(lambda match: match[0].replace(":", "\\:").replace(".", "\\."), shown)


def visible(line: str) -> str:
    """Return text with U+FFFD in place of what cannot be seen, turns the reading direction, or has no UTF-8."""
    return _HIDDEN.sub("\ufffd", line)


def code(value: object) -> str:
    """Return a name as code when it is plain enough for that, otherwise as text."""
    name = str(value)
    return f"`{name}`" if _SIMPLE.fullmatch(name) else text(name, limit=120)


def number(value: float | None) -> str:
    """Return a number for a table, a hyphen for none.

    >>> number(0.72222), number(1234.5678), number(None), number(0.0000123)
    ('0.7222', '1234.6', '-', '1.23e-05')
    """
    if value is None:
        return "-"
    magnitude = abs(value)
    if value != 0 and not _SMALL <= magnitude < _LARGE:
        return f"{value:.4g}"
    return f"{value:.4f}" if magnitude < _MANY_DIGITS else f"{value:.1f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the cells are Markdown already."""
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    return [*lines, ""]


def production_command(folder: Path) -> str:
    """Return what to type for the long run of the winner of the sweep in a folder."""
    name = str(folder)
    if _HYDRA_PLAIN.fullmatch(name):
        return f"python jobs/production.py sweep={name}"
    quoted = re.sub(r"(\\*)'", r"\1\1\\'", name)
    quoted = re.sub(r"(\\+)$", r"\1\1", quoted)
    return "python jobs/production.py " + shlex.quote(f"sweep='{quoted}'")
