"""How failures are judged."""

import errno
import signal

import pytest

from hpc_sweep.errors import SweepError, UserError
from hpc_sweep.runtime.failures import NEEDS_FRESH_PROCESS, of_death, of_exception, of_interruptions, of_silence


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def full_disk():
    """Return what a checkpoint raises when the disk is full."""
    error = SweepError("A checkpoint could not be written.")
    error.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded")
    return error


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (ValueError("x"), "exception", False),
        (KeyError("x"), "exception", False),
        (UserError("epochs=0 trains nothing."), "refused", False),
        (full_disk(), "no space", True),
        (TimeoutError("x"), "io", True),
        (MemoryError(), "memory", True),
        (OutOfMemoryError("CUDA out of memory."), "cuda_oom", True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "cuda_oom", True),
        (RuntimeError("CUDA error: device-side assert triggered"), "cuda", True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "cuda", True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "exception", False),
        (SystemExit(0), "exit", False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_exception_has_one_word_and_says_whether_to_try_again(error, reason, retryable):
    """A machine's trouble may pass, the same code with the same numbers fails again."""
    judged = of_exception(error)

    assert (judged.reason, judged.retryable) == (reason, retryable)
    assert judged.text


@pytest.mark.parametrize("code", [0, 1, 137, -6, -9, -11, -40])
def test_every_death_is_tried_again(code):
    """With its signal's name, as far as it has one."""
    judged = of_death(code)

    assert judged.retryable
    assert judged.reason == (f"signal {-code}" if code < 0 else f"exit {code}")
    assert ("mem_gb" in judged.text) == (-code == signal.SIGKILL)


def test_a_note_says_for_good_when_the_tries_are_spent():
    """Two retries are three tries."""
    told = [of_death(-9).fields(tries)["error"]["retryable"] for tries in (1, 2, 3)]

    assert told == [True, True, False]


def test_the_words_of_what_nobody_raised():
    """A hang tells how long, an interruption how often."""
    assert "10 minutes" in of_silence(600).text
    assert "3 attempts" in of_interruptions(3).text
    assert not of_interruptions(3).retryable


def test_gpu_errors_need_a_fresh_process():
    """The reasons are those that exceptions are judged to have."""
    judged = {of_exception(RuntimeError(text)).reason for text in ("CUDA error: x", "CUDA out of memory.")}

    assert judged == NEEDS_FRESH_PROCESS


def test_our_own_sentences_are_told_as_they_are():
    """Also where memory is the reason: a person reads no name of a class."""
    error = SweepError("The data do not fit into memory: MemoryError: x", next_step="Give it smaller data")
    error.__cause__ = MemoryError("x")

    judged = of_exception(error)

    assert (judged.reason, judged.text) == ("memory", str(error))
