"""How the values of a hyperparameter are laid out on an axis."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

_DECADE = 10


def axis_kind(levels: Sequence[object]) -> str:
    """Return how a hyperparameter's axis is drawn: ``log``, ``linear``, ``ordinal`` (numbers, evenly) or ``nominal``.

    >>> axis_kind([1e-4, 5e-4, 1e-3]), axis_kind([0.3, 0.4, 0.5]), axis_kind([0, 1e-4, 1e-3]), axis_kind(["a", "b"])
    ('log', 'linear', 'ordinal', 'nominal')
    """
    numbers = sorted(float(level) for level in levels if is_number(level))  # type: ignore[arg-type]
    if len(numbers) < len(levels) or not numbers:
        return "nominal"
    gaps = [after - before for before, after in pairwise(numbers)]
    even = len(gaps) > 1 and max(gaps) <= 1.01 * min(gaps)
    positive = [number for number in numbers if number > 0]
    if even or len(positive) < 2 or positive[-1] < _DECADE * positive[0]:  # noqa: PLR2004 because one has no ratio
        return "linear"
    return "log" if len(positive) == len(numbers) else "ordinal"
