"""Being asked to stop: signals only set a flag, and the worker sees the same flag without any signal of its own.

Slurm sends SIGTERM before it takes a node away, and the signal that was asked for (SIGUSR2) some time before the time
limit; a person sends SIGINT. None of them interrupts anything: the supervisor looks at the flag when it is safe.
"""

from __future__ import annotations

import mmap
import os
import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)

LEAD_SECONDS = 60
"""How much earlier than asked Slurm may send a signal, and may end a job after it."""


class Flag:
    """One number that a process and the children that it forks share: 0, or the signal that asked to stop."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    @property
    def signal(self) -> int:
        """The first signal that asked to stop, 0 while none did."""
        return self._shared[0]

    def raise_for(self, number: int) -> None:
        """Ask to stop; the first one who asks is remembered."""
        if not self._shared[0]:
            self._shared[0] = number


class Signals:
    """The signals of a supervisor, as a flag and a descriptor that becomes readable; use it with ``with``."""

    def __init__(self) -> None:
        self.flag = Flag()
        self.wakeup, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._note) for number in SIGNALS}
        self._before = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self.wakeup)
        os.close(self._woken)

    def drain(self) -> None:
        """Take what made the descriptor readable."""
        try:
            while os.read(self.wakeup, 4096):
                pass
        except BlockingIOError:
            return

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.flag.raise_for(number)


def leave_to_supervisor() -> None:
    """Make a worker deaf to the signals that its supervisor acts on; what it starts itself hears them again.

    They are caught and not ignored, because a program that the trial starts would inherit the ignoring.
    """
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, _nothing)
        signal.siginterrupt(number, False)  # noqa: FBT003 because the standard library names it so
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_hear_again)


def lead(save_seconds: float) -> int:
    """Return how many seconds before its time limit a job should be told, for a save that takes so long."""
    return round(LEAD_SECONDS + 2 * save_seconds) + 10


def _nothing(number: int, frame: FrameType | None) -> None:
    del number, frame


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _hear_again() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    _release_signals()
