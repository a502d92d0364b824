"""How a worker process uses a CPU: its threads, and an allocator that keeps what it has. Needs no torch.

By default glibc maps and unmaps every large tensor anew. The activations of a step are such, and their page faults took
a third of the time of a convolutional stack. A heap that is kept has them once. `worker` says it to a process that is
to be started, `keep_heap` to this one.
"""

from __future__ import annotations

import ctypes
from functools import cache

DEFAULT, KEPT = "default", "kept heap"

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_AT_ONCE = 256 << 20
_NEVER = (1 << 31) - 1


def worker(threads: int) -> dict[str, str]:
    """Return the environment variables that a worker with so many threads is started with."""
    count = str(threads)
    return {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
        "MALLOC_TOP_PAD_": str(_AT_ONCE),
    }


@cache
def keep_heap() -> str:
    """Make this process's allocator keep its heap; return what it does from now on, ``kept heap`` or ``default``."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library than glibc
        return DEFAULT
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER), (_M_TOP_PAD, _AT_ONCE))
    return KEPT if all(mallopt(name, value) for name, value in settings) else DEFAULT
