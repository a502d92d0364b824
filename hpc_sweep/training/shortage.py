"""When memory runs out: how that is known, and what a person is told who has to change something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_sweep.errors import SweepError
from hpc_sweep.training.gpu_errors import OUT_OF_MEMORY, gpu_error

if TYPE_CHECKING:
    from hpc_sweep.training.member import Member

_MORE = "more memory: hydra.launcher.mem_gb, or a larger card where a GPU's ran out"


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, the machine's or a GPU's."""
    if isinstance(error, MemoryError) or gpu_error(error) == OUT_OF_MEMORY:
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def judged(member: Member, error: BaseException) -> BaseException:
    """Return what a trial that was alone ends with."""
    if not out_of_memory(error):
        return error
    smaller = max(1, member.cfg.batch_size // 2)
    return _refusal(
        error,
        "One trial alone does not fit into memory",
        f"Trial {member.digest[:12]}, batch_size={member.cfg.batch_size}",
        f"Type batch_size={smaller}, or ask for {_MORE}",
    )


def judged_of_data(member: Member, error: BaseException) -> BaseException:
    """Return what a trial ends with whose data could not be loaded."""
    if not out_of_memory(error):
        return error
    return _refusal(
        error,
        "The data do not fit into memory",
        f"Trial {member.digest[:12]}, seed={member.cfg.seed}",
        f"Give it smaller data, fewer items or smaller ones, or ask for {_MORE}",
    )


def sentence(error: BaseException) -> str:
    """Return the first line of what an error says, behind its type."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def _refusal(error: BaseException, what: str, where: str, next_step: str) -> SweepError:
    refusal = SweepError(f"{what}: {sentence(error)}", where=where, next_step=next_step)
    refusal.__cause__ = error.with_traceback(None)
    return refusal
