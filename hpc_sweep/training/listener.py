"""Whom training tells, and what; needs no torch, so that a supervisor's worker can listen before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpc_sweep.trial import Result


@dataclass(frozen=True)
class Ending:
    """How the trial of an index ended: a result, or what went wrong with it alone; and its share of the time."""

    index: int
    result: Result | None
    error: BaseException | None
    seconds: float


def _nobody(told: object) -> None:
    del told


@dataclass(frozen=True)
class Listener:
    """Who is told what happens to a list of trials; each is named by its index in the list.

    Parameters
    ----------
    ended
        Each trial's ending, once, as it comes.
    begun
        A trial, before its first checkpoint is looked for.
    together
        The trials that are worked on as one from now on: compared by engines, or trained as a stack.
    chosen
        The record of each choice, before the first step of its stack; training goes on when this returns.
    """

    ended: Callable[[Ending], None]
    begun: Callable[[int], None] = _nobody
    together: Callable[[Sequence[int]], None] = _nobody
    chosen: Callable[[Mapping[str, Any]], None] = _nobody

    def of(self, indices: Sequence[int]) -> Listener:
        """Return the listener for a part of the list, whose own indices begin at 0."""
        return Listener(
            lambda ending: self.ended(Ending(indices[ending.index], ending.result, ending.error, ending.seconds)),
            lambda index: self.begun(indices[index]),
            lambda part: self.together([indices[index] for index in part]),
            self.chosen,
        )
