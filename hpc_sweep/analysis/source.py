"""A table of any origin as text: its encoding, its separator, its names and its rows, and no meaning yet."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_sweep.analysis.cells import dotted
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MARKS = re.compile(r"^[*`]+|[*`]+$")
_RULE = re.compile(r"[-+|:=\s]*")
_MOST_BYTES = 256 * 2**20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Source:
    """A table as text: the names of its columns, and its rows with the numbers of their lines in the file."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    uneven: tuple[int, ...]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        at = self.header.index(name)
        return [row[at] for row in self.rows]


def decode(content: bytes, name: str) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with its byte order mark; raise UserError for anything else."""
    try:
        return content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            "The table is not in UTF-8, and what its other letters are cannot be known.",
            where=f"File: {name}, line {line}",
            next_step="Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8').",
        ) from None


def read_source(text: str, name: str) -> Source:
    """Read comma, semicolon, tab or pipe separated text with one line of names; raise UserError for anything else.

    Tables of Markdown are pipe separated. Decimal commas can be read between semicolons and tabs only.
    """
    if len(text) > _MOST_BYTES:
        raise UserError("The table is larger than 256 MiB.", where=f"File: {name}", next_step="Give a part of it.")
    lines = list(io.StringIO(text.lstrip("\ufeff"), newline=None))
    delimiter = _delimiter(_names(lines))
    records = list(_records(lines, delimiter, name))
    if len(records) < 2:  # noqa: PLR2004 because the first line has the names
        raise UserError("The table has no rows below its line of names.", where=f"File: {name}")
    header = tuple(records[0][1])
    _refuse_twins(header, name)
    uneven = tuple(line for line, row in records[1:] if len(row) != len(header))
    rows = [(*row, *[""] * len(header))[: len(header)] for _, row in records[1:]]
    if delimiter in ";\t":
        rows = list(zip(*dotted(list(zip(*rows, strict=True))), strict=True))
    return Source(name, header, tuple(rows), tuple(line for line, _ in records[1:]), uneven)


def _records(lines: Sequence[str], delimiter: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row that has any, without the rules of a drawn table."""
    framed = _names(lines).startswith("|")
    kept = (_undrawn(line, framed) for line in lines) if delimiter == "|" else iter(lines)
    reader = csv.reader(kept, delimiter=delimiter, quoting=csv.QUOTE_NONE if framed else csv.QUOTE_MINIMAL, strict=True)
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line, [_plain(cell) for cell in row]
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"The table cannot be read: {error}.",
            where=f"File: {name}, line {line}",
            next_step="Look there for a quotation mark that is not closed, or leave that column out.",
        ) from None


def _undrawn(line: str, framed: bool) -> str:
    """Return a line of a pipe separated table without the pipes around it, and nothing for a rule."""
    if _RULE.fullmatch(line):
        return ""
    return line.strip().removeprefix("|").removesuffix("|") if framed else line


def _names(lines: Sequence[str]) -> str:
    return next((line.strip() for line in lines if not _RULE.fullmatch(line)), "")


def _delimiter(names: str) -> str:
    """Return the separator that the line of names holds most often; one that begins with a pipe is of Markdown."""
    return "|" if names.startswith("|") else max(",;\t|", key=names.count)


def _refuse_twins(header: Sequence[str], name: str) -> None:
    twice = sorted({title for title in header if header.count(title) > 1 and title})
    if twice:
        raise UserError(
            f"Two columns are called '{twice[0]}'.",
            where=f"File: {name}",
            next_step="Give every column a name of its own.",
        )


def _plain(cell: str) -> str:
    return _MARKS.sub("", cell.strip()).strip()
