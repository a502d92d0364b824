"""How the trials of a stack are trained, as it is published before their first step; needs no torch.

::

    a choice      one engine, so many trials at once, for these members
    smaller       the same members, fewer at once: memory ran out, or one of them failed among the others
    halved        two choices, each for half of those that trained together when their worker died
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep.training.engines.names import SEQUENTIAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Choice:
    """Which engine trains the members, and how many of them at once.

    ``members`` are the ids of trials. ``ratio`` is how many times as fast as sequential the engine was when it was
    timed, None where nothing was timed. ``why`` says in one line why this engine, and ``ratios`` gives every engine
    that was timed.
    """

    engine: str
    size: int
    members: tuple[str, ...]
    ratio: float | None = None
    why: str = ""
    ratios: Mapping[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON."""
        return {**asdict(self), "members": list(self.members), "ratios": dict(self.ratios)}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Choice:
        """Return the choice that a record holds; other fields of the record are left alone."""
        fields = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        return cls(**{**fields, "members": tuple(record["members"])})

    def smaller(self, size: int, why: str) -> Choice:
        """Return the choice for fewer trials at once."""
        engine = self.engine if size > 1 else SEQUENTIAL
        ratio = self.ratio if size > 1 else None  # it was measured of another engine
        return replace(self, engine=engine, size=size, ratio=ratio, why=f"{why}; {self.why}".rstrip("; "))

    def halved(self, together: Sequence[str], why: str) -> tuple[Choice, Choice]:
        """Return the choices for the first and the second half of two or more members that trained together."""
        middle = (len(together) + 1) // 2
        first, second = (
            replace(self.smaller(len(part), why), members=tuple(part))
            for part in (together[:middle], together[middle:])
        )
        return first, second

    def how(self, engine: str, size: int) -> dict[str, Any]:
        """Return what belongs into the result of a trial that was trained by an engine, so many at once, and why so."""
        if engine == self.engine:
            return {"engine": engine, "size": size, "ratio": self.ratio, "why": self.why}
        why = f"it was alone here; chosen for {self.size} at once was {self.engine}: {self.why}"
        return {"engine": engine, "size": size, "ratio": None, "why": why.rstrip(": ")}


def alone(members: Sequence[str], why: str) -> Choice:
    """Return the choice of trials that train one after the other."""
    return Choice(SEQUENTIAL, 1, tuple(members), None, why)


def newest(records: Iterable[Mapping[str, Any]]) -> dict[str, Choice]:
    """Return the last choice for each trial among the records of a log."""
    return {member: choice for choice in map(Choice.read, records) for member in choice.members}
