"""What a worker was in the middle of, and what follows when it dies there. Pure.

::

    the worker died                             what follows
    before it had begun anything                the first trial is charged a try
    between two trials                          nothing
    in a trial alone                            the trial is charged a try
    in a stack, after it had got something done nothing: members go on from their checkpoints
    in a stack, for the first time              the same
    in a stack, for the second time             the stack is halved
    in the same stack, once more                one trial is charged a try: what was published did not make it smaller
    while engines were compared, the 2nd time   these trials train one after the other

So a trial that ends every process it trains in is found by halving: it dies alone in the end, and only then is it
charged. Every death takes away a try or a half, or follows upon progress, and there is a bounded number of each.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpc_sweep.training.choice import Choice, alone, newest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LIVES = 2
"""So many deaths without progress between them, and a stack is halved."""


@dataclass
class Life:
    """What one worker is in the middle of, by what it told; ids of trials, in the order in which they were named.

    ``ended`` counts the trials that ended in it; ``got_on`` says whether those that are together now, or one that was
    with them, got something done: an ending, or a checkpoint.
    """

    together: list[str] = field(default_factory=list)
    ended: int = 0
    got_on: bool = False

    def take(self, message: Mapping[str, Any]) -> None:
        """Take in one message."""
        match message["event"]:
            case "start":
                self.got_on = self.got_on and bool(self.together)
                self.together = [*(one for one in self.together if one != message["trial"]), message["trial"]]
            case "stack":
                self.got_on = self.got_on and not set(self.together).isdisjoint(message["trials"])
                self.together = list(message["trials"])
            case "saved":
                self.got_on = True
            case "done":
                self.ended, self.got_on = self.ended + 1, True
                self.together = [one for one in self.together if one != message["trial"]]
            case "stopped":
                self.together = [one for one in self.together if one != message["trial"]]
            case "died":
                self.together, self.got_on = [], False


def answerable(life: Life, left: Sequence[str]) -> tuple[str, ...]:
    """Return the trials that a worker died in, of those that are left: none, one that is charged, or a stack."""
    together = tuple(trial for trial in life.together if trial in left)
    return together or (() if life.ended else tuple(left[:1]))


class Deaths:
    """How often each stack has died since anything was last got done."""

    def __init__(self) -> None:
        self._counts = Counter[frozenset[str]]()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deaths) and self._counts == other._counts

    __hash__ = None  # type: ignore[assignment]  # it changes

    def count(self, together: Sequence[str], *, got_on: bool) -> None:
        """Count one death of a stack; progress forgives it the others, and those of the stacks that it was before."""
        if got_on:
            for stack in [stack for stack in self._counts if not stack.isdisjoint(together)]:
                del self._counts[stack]
        else:
            self._counts[frozenset(together)] += 1

    def stuck(self, together: Sequence[str]) -> bool:
        """Tell whether a stack has died again after everything was published that could make it smaller."""
        return self._counts[frozenset(together)] > LIVES

    def forgive(self) -> None:
        """Begin anew."""
        self._counts.clear()

    def smaller(self, choices: Iterable[Mapping[str, Any]], order: Sequence[str]) -> list[Choice]:
        """Return the choices that have to be made after these deaths; none where they were made already.

        ``choices`` are the records of the shard's log, ``order`` its trials in the order in which they train.
        """
        known = newest(choices)
        spent = [stack for stack, deaths in self._counts.items() if deaths >= LIVES]
        return [made for stack in spent for made in _smaller([one for one in order if one in stack], known)]


def _smaller(together: Sequence[str], known: Mapping[str, Choice]) -> Sequence[Choice]:
    if len(together) < 2:  # noqa: PLR2004 because one trial is no stack
        return ()
    choice = known.get(together[0])
    if choice is None:
        return (alone(together, "the worker died twice while engines were compared"),)
    if choice.size < len(together):
        return ()
    return choice.halved(together, f"{len(together)} at once ended their worker twice")
