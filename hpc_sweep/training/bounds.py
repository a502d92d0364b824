"""What a number of a configuration may be, in the same words at submit and in training; needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hpc_sweep.errors import UserError


@dataclass(frozen=True)
class Range:
    """A number, whole or not, between two bounds.

    Parameters
    ----------
    low, high
        The bounds, which it may reach unless they are open: ``above`` that below, ``below`` that above.
    infinite
        Whether it may be infinity, which otherwise no number may be.
    optional
        Whether it may be null instead.
    example
        What a person could type.
    """

    low: float
    high: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False
    infinite: bool = False
    optional: bool = False
    example: float = 1

    def holds(self, value: object) -> bool:
        """Tell whether a value is such a number."""
        if value is None:
            return self.optional
        kinds = (int,) if self.whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        is_open = (self.above and value == self.low) or (self.below and value == self.high)
        return not is_open and (self.infinite or abs(value) != math.inf)

    def require(self, key: str, value: object) -> None:
        """Raise UserError unless a key's value is such a number."""
        if not self.holds(value):
            raise UserError(
                f"{key}={'null' if value is None else value} cannot be: it has to be {self}.",
                where=f"Key: {key}",
                next_step=f"Type for example {key}={self.example}",
            )

    def __str__(self) -> str:
        unbounded = self.high == math.inf
        kind = "whole " if self.whole else "finite " if unbounded and not self.infinite else ""
        low = f"above {self.low:g}" if self.above else f"of at least {self.low:g}"
        high = "" if unbounded else f" and {'below' if self.below else 'at most'} {self.high:g}"
        return f"a {kind}number {low}{high}{', or null' if self.optional else ''}"


DROPOUT = Range(0, 1, below=True, example=0.5)
LEARNING_RATE = Range(0, above=True, example=0.001)
L2 = Range(0, example=0.0001)
CLIP_NORM = Range(0, above=True, infinite=True, optional=True, example=1.0)
"""Infinity and null are off."""
