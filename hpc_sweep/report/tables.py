"""Tables as CSV: RFC 4180, UTF-8, safe in a spreadsheet, exact numbers."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from hpc_sweep.records import canonical
from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpc_sweep.analysis.decision import Decision, Entry
    from hpc_sweep.analysis.table import Evidence

_HEAD = ("rank", "runs")
_TAIL = ("mean", "shrunk", "low", "high", "sd", "n", "behind", "tied", "short_list", "note")
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # and their full-width twins
_QUOTED = re.compile(r'[",;\r\n\t\']|^ | $')
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV with a header; lines end in CR LF."""
    return csv_bytes(list(frame.columns), frame.itertuples(index=False, name=None)).decode()


def csv_bytes(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as CSV with a header, in UTF-8; they may come one by one."""
    content = io.BytesIO()
    content.write((",".join(cell(str(name)) for name in columns) + "\r\n").encode())
    # A number that is finite, which nearly all cells are, needs none of what `cell` looks for.
    content.writelines(
        (",".join([repr(one) if type(one) is float and one - one == 0 else cell(one) for one in row]) + "\r\n").encode()
        for row in rows
    )
    return content.getvalue()


def leaderboard_table(evidence: Evidence, decision: Decision) -> pd.DataFrame:
    """Return one row for each configuration, ranked ones first; what one does not have is `pandas.NA`."""
    names = list(evidence.space.levels)
    rows = [_entry(entry, names) for entry in decision.leaderboard]
    return pd.DataFrame(rows, columns=[*_HEAD, *(_free(name) for name in names), *_TAIL], dtype=object)


def cell(value: object) -> str:
    r"""Return one cell: numbers as Python writes them, nothing for what is missing, text that starts no formula.

    >>> cell(-0.5), cell("-0.5"), cell(None), cell(True), cell([1, 2])
    ('-0.5', '"\'-0.5"', 'null', 'true', '"[1,2]"')
    """
    if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) or is_number(value):
        return repr(value)
    return _text(value if isinstance(value, str) else canonical(value))


def _entry(entry: Entry, names: Sequence[str]) -> list[Any]:
    low, high = entry.interval or (None, None)
    levels = [entry.configuration.get(name, pd.NA) for name in names]
    numbers = [entry.mean, entry.shrunk, low, high, entry.sd, entry.n, entry.difference]
    runs = " ".join(map(str, entry.trials)) or None
    rest = [entry.tied, entry.short, entry.note or None]
    return [_missing(entry.rank), _missing(runs), *levels, *(_missing(value) for value in (*numbers, *rest))]


def _missing(value: object) -> object:
    return pd.NA if value is None else value


def _free(name: str) -> str:
    return f"params.{name}" if name in {*_HEAD, *_TAIL} else name


def _text(text: str) -> str:
    plain = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    # A lone surrogate has no UTF-8 and would make the whole file unreadable.
    plain = plain.encode("utf-8", "backslashreplace").decode()
    if plain.lstrip(" ").startswith(_FORMULA):
        plain = f"'{plain}"
    return '"' + plain.replace('"', '""') + '"' if _QUOTED.search(plain) else plain
