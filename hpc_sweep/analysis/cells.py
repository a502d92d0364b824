"""What the cell of a table says: a number, in percent or with a spread, or a level of a hyperparameter.

Decimal commas are read where a table leaves no doubt of them; `dotted` says where that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_CELL = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)\s*(?:(?:±|\+/-|\+-)\s*(\d*\.?\d+)\s*%?)?\s*")
_MEANT = re.compile(r"\s*[-+]?[.,]?\d")
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_PERCENT = 100
LARGEST = 1e70
"""Beyond this the square of a variance, which the decision needs, is near the end of what a float holds."""


@dataclass(frozen=True)
class Number:
    """What a cell says: its value, whether it was given in percent, and the spread behind a ``±``."""

    value: float
    percent: bool
    spread: float | None


def number(cell: str) -> Number | None:
    """Return the number in a cell, None where there is none.

    >>> number("82.84%"), number("0.950 ± 0.065").spread, number("n/a")
    (Number(value=0.8284, percent=True, spread=None), 0.065, None)
    """
    found = _CELL.fullmatch(cell)
    if not found:
        return None
    value, percent, spread = float(found[1]), bool(found[2]), found[3]
    scaled = round(value / _PERCENT, 12) if percent else value
    return Number(scaled, percent, float(spread) / (_PERCENT if percent else 1) if spread else None)


def level(cell: str) -> Any:  # noqa: ANN401 because a level may be a number or text
    """Return a level of a hyperparameter: a number where the cell is one, None for an empty cell, else text.

    A numeral beyond `LARGEST` stays text.

    >>> level("64"), level("1e-3"), level("sgd"), level(""), level("1e999")
    (64, 0.001, 'sgd', None, '1e999')
    """
    found = number(cell)
    if found is None or found.percent or found.spread is not None or abs(found.value) > LARGEST:
        return cell or None
    return int(cell) if re.fullmatch(r"[-+]?\d+", cell) else found.value


def is_meant_as_number(cell: str) -> bool:
    """Tell whether a cell begins like a number, so that it cannot be a word for a missing one.

    >>> is_meant_as_number("1,234.5"), is_meant_as_number("n/a")
    (True, False)
    """
    return _MEANT.match(cell) is not None


def dotted(columns: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the columns of a table with decimal points for decimal commas, where the table has these throughout.

    A table has decimal commas when one cell can be nothing else (``1,234`` may be a thousand) and no column of numbers
    has decimal points.

    >>> dotted([["0,7", "0,65"], ["128,64,32", "64"]]), dotted([["1,234"], ["3"]]), dotted([["0,7"], ["0.1"]])
    ([['0.7', '0.65'], ['128,64,32', '64']], [['1,234'], ['3']], [['0,7'], ['0.1']])
    """
    fits = [_fits(cells) for cells in columns]
    sure = any(fit and any(map(_surely_decimal, cells)) for fit, cells in zip(fits, columns, strict=True))
    if not sure or any(map(_has_points, columns)):
        return [list(cells) for cells in columns]
    return [[_dotted(cell) if fit else cell for cell in cells] for fit, cells in zip(fits, columns, strict=True)]


def _fits(cells: Sequence[str]) -> bool:
    """Tell whether every cell of a column that is meant as a number is one with a decimal comma or none."""
    meant = [cell for cell in cells if is_meant_as_number(cell)]
    return all("." not in cell and number(_dotted(cell)) is not None for cell in meant)


def _dotted(cell: str) -> str:
    return cell.replace(",", ".") if is_meant_as_number(cell) else cell


def _surely_decimal(cell: str) -> bool:
    return "," in cell and is_meant_as_number(cell) and not _GROUPED.fullmatch(cell)


def _has_points(cells: Sequence[str]) -> bool:
    """Tell whether a column of numbers has decimal points."""
    return any("." in cell for cell in cells) and all(number(cell) for cell in cells if cell)
