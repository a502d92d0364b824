"""What can go wrong that a person must act on, and the exit status that each failure has.

::

    SweepError                  1   finished, but trials failed or the decision was refused
    ├── UserError               2   the call or the configuration is wrong
    │   └── ForeignSweepError   2   the folder belongs to another sweep, or to none
    ├── CorruptRecordError      1   an entry of a log cannot be read
    └── SchedulerError         75   the scheduler is out of reach; try again
"""

from __future__ import annotations


class SweepError(Exception):
    """One sentence of what, one of which file or trial, one of what to type next."""

    exit_status = 1

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next_step = what, where, next_step

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.where, self.next_step) if line)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling: keyword-only arguments are lost by the default."""
        return _rebuild, (type(self), self.what, self.where, self.next_step)


class UserError(SweepError):
    """The call or the configuration is wrong; nothing was started."""

    exit_status = 2


class ForeignSweepError(UserError):
    """The folder belongs to another sweep, or is no sweep at all."""


class CorruptRecordError(SweepError):
    """An entry of a log is there but cannot be read as what it must be."""


class SchedulerError(SweepError):
    """The scheduler did not answer; nothing is lost, the same command may be typed again."""

    exit_status = 75


def _rebuild(kind: type[SweepError], what: str, where: str, next_step: str) -> SweepError:
    return kind(what, where=where, next_step=next_step)
