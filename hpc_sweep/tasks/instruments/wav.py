"""Reads one 16-bit PCM wav file to mono samples of a fixed length."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_NEXT_STEP = "copy the file again from its archive, or remove it"


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; ``UserError`` naming it when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        next_step = "check the path and its permissions"
        raise UserError(f"This file cannot be read ({error.strerror}).", where=str(path), next_step=next_step) from None


def read_mono(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Return the samples of one file, shape (samples,), its channels averaged, full scale at 1.

    Raises ``UserError`` naming the file when it is no wav, is cut short, is silent by having no samples, is not
    16-bit PCM or has another sample rate.
    """
    return decode_mono(read_bytes(path), sample_rate, str(path))


def decode_mono(data: bytes, sample_rate: int, where: str) -> NDArray[np.float32]:
    """Do what :func:`read_mono` does, for a file that is in memory already."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            header = sound.getparams()
            frames = sound.readframes(header.nframes)
    except (wave.Error, EOFError) as error:
        what = f"This file is no wav that can be read ({str(error) or 'it ends inside its header'})."
        raise UserError(what, where=where, next_step=_NEXT_STEP) from None
    if header.sampwidth != 2:  # noqa: PLR2004 - bytes of a 16-bit sample
        what = f"This wav has {8 * header.sampwidth} bits a sample, and IRMAS has 16."
        raise UserError(what, where=where, next_step=_NEXT_STEP)
    if header.framerate != sample_rate:
        what = f"This wav has {header.framerate} samples a second, and {sample_rate} are asked for."
        raise UserError(what, where=where, next_step=f"resample it, or pass data.sample_rate={header.framerate}")
    expected = header.nframes * header.nchannels * header.sampwidth
    if header.nframes == 0 or len(frames) != expected:
        what = f"This wav is cut short: {len(frames):,} bytes of sound where its header promises {expected:,}."
        raise UserError(what, where=where, next_step=_NEXT_STEP)
    samples = np.frombuffer(frames, dtype="<i2").reshape(header.nframes, header.nchannels)
    mono: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32) / np.float32(32768)
    return mono


def fit_length(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Crop ``samples`` at the end to ``length``, or pad with silence; IRMAS clips are often one sample short."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))
