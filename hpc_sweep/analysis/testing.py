"""A sentence with its grade, and how a test gives one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep.analysis.effects import Grade

SURE, MAYBE = 0.01, 0.05
_LEAST = 0.0001


@dataclass(frozen=True)
class Deduction:
    """One sentence, how well the data support it, and the numbers it comes from."""

    text: str
    grade: str
    evidence: Mapping[str, Any]


def graded(p: float) -> Grade:
    """Return the grade of a test that stands alone; nothing corrects it for its siblings, so it has to be surer."""
    if p < SURE:
        return "supported"
    return "suggestive" if p < MAYBE else "not resolved"


def probability(p: float) -> str:
    """Return the p of a test as people read it.

    >>> probability(0.0123), probability(1e-9)
    ('p = 0.012', 'p < 0.0001')
    """
    return f"p < {_LEAST:.4f}" if p < _LEAST else f"p = {p:.2g}"
