"""How trials are named to people, and how things are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMED = 12


def counted(count: int, one: str, several: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "other"), counted(2, "other"), counted(0, "is tied", "are tied")
    ('1 other', '2 others', '0 are tied')
    """
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def runs(numbers: Sequence[int]) -> str:
    """Return trial numbers as people read them, the first dozen of many.

    >>> runs([3]), runs([3, 5])
    ('Run 3', 'Runs 3, 5')
    """
    named = ", ".join(str(number) for number in numbers[:_NAMED])
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"{'Run' if len(numbers) == 1 else 'Runs'} {named}{more}"
