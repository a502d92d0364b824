"""Why a trial failed, in one word and a sentence, and whether to try it again could help.

::

    reason                 retryable   why
    refused                no          the configuration is wrong
    exception              no          the same code, data and seed raise the same exception again
    exit                   no          the task ended its process on purpose
    too large              no          its result cannot be recorded
    memory, io, no space   yes         the machine was short of something
    cuda_oom, cuda         yes         in a fresh process; the other trials go on in one, too
    signal N, exit N       yes         the worker died
    timeout                yes         the worker was ended because nothing had happened for too long
    interrupted            no          attempt after attempt died in it and got nothing done
"""

from __future__ import annotations

import errno
import signal
import traceback
from dataclasses import dataclass
from typing import Any

from hpc_sweep.errors import SweepError, UserError
from hpc_sweep.training.gpu_errors import BROKEN, OUT_OF_MEMORY, gpu_error

RETRIES = 2
"""How often a trial is tried again by default."""

NEEDS_FRESH_PROCESS = frozenset({BROKEN, OUT_OF_MEMORY})
"""Reasons after which the process that met them can train nothing more, or has less memory than it should."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Failure:
    """The note of a try that gave no outcome."""

    reason: str
    text: str
    retryable: bool

    def fields(self, tries: int, retries: int = RETRIES) -> dict[str, Any]:
        """Return the note as it is recorded; `tries` counts this one."""
        again = self.retryable and tries <= retries
        error = {"reason": self.reason, "text": self.text, "retryable": again, "tries": tries}
        return {"outcome": None, "metrics": {}, "error": error}


def of_exception(error: BaseException) -> Failure:
    """Judge what a trial raised."""
    is_ours = isinstance(error, SweepError)
    text = str(error) if is_ours else "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, SystemExit):
        return Failure("exit", f"the task ended its process with status {error.code}", retryable=False)
    cause = (error.__cause__ or error) if is_ours else error
    if isinstance(cause, OSError):
        return Failure("no space" if cause.errno in _FULL else "io", text, retryable=True)
    if reason := gpu_error(cause):
        return Failure(reason, text, retryable=True)
    if isinstance(cause, MemoryError):
        return Failure("memory", text, retryable=True)
    if is_ours:
        return Failure("refused", text, retryable=not isinstance(error, UserError))
    return Failure("exception", text, retryable=False)


def of_death(exitcode: int | None) -> Failure:
    """Judge how a worker process ended in the middle of a trial."""
    if exitcode is None or exitcode >= 0:
        text = f"the worker ended with status {exitcode} in the middle of the trial"
        return Failure(f"exit {exitcode}", text, retryable=True)
    text = f"the worker was ended by signal {-exitcode} ({_name(-exitcode)})"
    if -exitcode == signal.SIGKILL:
        text += "; the kernel and Slurm do so when memory runs out: give the shard more of it with mem_gb"
    return Failure(f"signal {-exitcode}", text, retryable=True)


def of_silence(seconds: float) -> Failure:
    """Judge a worker that told nothing for so long that it was ended."""
    text = f"nothing was heard of the trial for {seconds / 60:.3g} minutes; where it stood is in the attempt's log"
    return Failure("timeout", text, retryable=True)


def of_interruptions(attempts: int) -> Failure:
    """Judge a trial that attempts of its shard died in without having got anything done."""
    text = (
        f"{attempts} attempts of the shard died in this trial and got nothing done; memory may have run out (mem_gb), "
        "or the time limit is shorter than one trial (timeout_min)"
    )
    return Failure("interrupted", text, retryable=False)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"
