"""How large a stack may be, as a person types it; needs no torch, for it is checked before anything is submitted."""

from __future__ import annotations

import json

from hpc_sweep.errors import UserError

AUTO = "auto"


def checked(size: object) -> int | str:
    """Return a size of stacks, ``auto`` or a number from 1; UserError for anything else."""
    if size == AUTO or (isinstance(size, int) and not isinstance(size, bool) and size >= 1):
        return size
    raise UserError(
        f"A stack cannot have the size {json.dumps(size, default=str)}.",
        where="Key: hydra.launcher.stack_size",
        next_step="Type hydra.launcher.stack_size=auto, 1, or the largest number of trials of a stack",
    )
