"""What a report says before it is Markdown or HTML: sections of blocks, whose words are text without any markup."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from hpc_sweep.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.report.drawing import Picture


@dataclass(frozen=True)
class Code:
    """A name, a value or a command as it is typed."""

    text: str


@dataclass(frozen=True)
class Strong:
    """Words that carry the sentence."""

    text: str


@dataclass(frozen=True)
class Link:
    """Words that lead to a file beside the report; the target is written by us, never taken from data."""

    text: str
    target: str


Inline: TypeAlias = str | Code | Strong | Link
Line: TypeAlias = tuple[Inline, ...]


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what is read, and by what it is sorted where that is a number."""

    content: Line
    key: float | None = None
    numeric: bool = False


@dataclass(frozen=True)
class Paragraph:
    """Words."""

    line: Line


@dataclass(frozen=True)
class Items:
    """A list of lines."""

    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Notice:
    """One warning, of a kind that programs know."""

    kind: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Finding:
    """One sentence, which has its numbers in it, with its grade."""

    grade: str
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells; ``marked`` are the rows that stand out, by their index, and how."""

    name: str
    header: tuple[Line, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = False
    marked: Mapping[int, str] = field(default_factory=dict)
    limit: int | None = None
    """How many rows Markdown shows; HTML shows all."""


@dataclass(frozen=True)
class Figure:
    """A picture with its caption."""

    picture: Picture


@dataclass(frozen=True)
class Command:
    """What to type next."""

    text: str


@dataclass(frozen=True)
class Fact:
    """One number of the card: its name, its value, and what it means."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Card:
    """The pick: its configuration, its score, its verdict, and how far to trust it."""

    runs: str
    configuration: tuple[tuple[str, str], ...]
    metric: str
    score: str
    when: str
    facts: tuple[Fact, ...]
    verdict: str
    verdict_text: str
    honesty: tuple[Line, ...]
    interval: Mapping[str, Any] | None = None
    """Where the score lies: ``low, high, shrunk, observed`` and the ``least`` and ``most`` of the axis."""


Block: TypeAlias = Paragraph | Items | Notice | Finding | Table | Figure | Command | Card


@dataclass(frozen=True)
class Section:
    """A title with what belongs under it; ``name`` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole report; ``partial`` says how far a running sweep is."""

    title: str
    partial: str
    lead: Line
    sections: tuple[Section, ...]


def line(*parts: Inline) -> Line:
    """Return a line of text and other inline parts."""
    return parts


def words(value: object) -> Cell:
    """Return a cell of text."""
    return Cell((str(value),))


def code(value: object) -> Cell:
    """Return a cell that shows something as it is typed; numbers sort as numbers."""
    return Cell((Code(str(value)),))


def figure(value: float | None, shown: str | None = None) -> Cell:
    """Return a cell with a number; none is a hyphen, sorted last."""
    key = value if value is not None and math.isfinite(value) else None
    return Cell((number(value) if shown is None else shown,), key, numeric=True)


def plain(content: Sequence[Inline]) -> str:
    """Return the words of a line alone."""
    return "".join(part if isinstance(part, str) else part.text for part in content)
