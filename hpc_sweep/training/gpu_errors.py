"""What an exception says about the GPU; needs no torch, because a supervisor's worker asks before it is loaded."""

from __future__ import annotations

OUT_OF_MEMORY, BROKEN = "cuda_oom", "cuda"

_SIGNS = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "NCCL error", "device-side assert")


def gpu_error(error: BaseException) -> str:
    """Return ``cuda_oom`` when its memory ran out, ``cuda`` when the process cannot use it any more, else nothing."""
    names, text = {kind.__name__ for kind in type(error).__mro__}, str(error)
    if "OutOfMemoryError" in names or "CUDA out of memory" in text:
        return OUT_OF_MEMORY
    return BROKEN if "AcceleratorError" in names or any(sign in text for sign in _SIGNS) else ""
