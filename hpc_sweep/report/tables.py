"""`merged/trials.csv` and `merged/curves.csv`: RFC 4180, safe in a spreadsheet, the same bytes for the same sweep."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pandas as pd

from hpc_sweep import records
from hpc_sweep.analysis.table import curves_table, trials_table
from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from hpc_sweep import paths
    from hpc_sweep.ledger import Ledger

_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # and their full-width twins
_QUOTED = re.compile(r'[",;\r\n\t\']|^ | $')
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def write_tables(sweep: paths.Sweep, ledger: Ledger) -> None:
    """Replace both tables of a sweep."""
    records.replace(sweep.trials_csv, csv_text(trials_table(ledger)))
    records.replace(sweep.curves_csv, csv_text(curves_table(ledger)))


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV with a header; lines end in CR LF."""
    header = ",".join(cell(str(name)) for name in frame.columns)
    rows = (",".join(map(cell, row)) for row in frame.itertuples(index=False, name=None))
    return "".join(f"{line}\r\n" for line in (header, *rows))


def cell(value: object) -> str:
    r"""Return one cell: numbers as Python writes them, nothing for what is missing, text that starts no formula.

    >>> cell(-0.5), cell("-0.5"), cell(None), cell(True), cell([1, 2])
    ('-0.5', '"\'-0.5"', 'null', 'true', '"[1,2]"')
    """
    if value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) or is_number(value):
        return repr(value)
    return _text(value if isinstance(value, str) else records.canonical(value))


def _text(text: str) -> str:
    plain = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    # A lone surrogate has no UTF-8 and would make the whole file unreadable.
    plain = plain.encode("utf-8", "backslashreplace").decode()
    if plain.lstrip(" ").startswith(_FORMULA):
        plain = f"'{plain}"
    return '"' + plain.replace('"', '""') + '"' if _QUOTED.search(plain) else plain
