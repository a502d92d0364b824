"""Log-mel pictures of three seconds of sound, in numpy alone and equal to librosa's.

::

    samples (n,) -> power (frames, bins) -> mel power (n_mels, frames) -> area mean (size, size) -> dB -> uint8

Windows are Hann, centred, padded with zeros; the mel scale is HTK's, the filters have Slaney's unit area, decibels
are ``power_to_db(top_db=80)``. The area mean makes the picture square; with ``n_mels = size`` and a ``hop`` that gives
``size`` frames it changes nothing, and the picture is librosa's to the last digit. The default hop of 593 samples
turns 3 s at 44.1 kHz into 224 frames exactly: one per column at size 224, seven at size 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECONDS = 3
TOP_DB = 80.0
QUIETEST_POWER = 1e-10


@dataclass(frozen=True)
class LogMel:
    """What makes a picture of a sound; ``UserError`` when the values contradict each other.

    Parameters
    ----------
    sample_rate
        Samples a second, the same in every file: nothing is resampled.
    n_fft, hop
        Length of a window and step between two, in samples.
    n_mels, fmin, fmax
        Number of mel bands between these frequencies in Hz.
    size
        Rows and columns of the picture: bands from low to high, time from left to right.
    """

    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 593
    n_mels: int = 224
    fmin: float = 30.0
    fmax: float = 11025.0
    size: int = 224

    def __post_init__(self) -> None:
        if not 0 <= self.fmin < self.fmax <= self.sample_rate / 2:
            limit = f"{self.sample_rate / 2:g} Hz"
            what = f"The mel bands must lie between 0 and {limit}, not from {self.fmin:g} to {self.fmax:g}."
            raise UserError(what, where="data.fmin, data.fmax", next_step="data.fmin=30 data.fmax=11025")
        if min(self.n_fft, self.hop, self.size) < 1 or self.n_fft % 2:
            what = f"Windows are even and steps positive, unlike n_fft={self.n_fft}, hop={self.hop}, size={self.size}."
            raise UserError(what, where="data.n_fft, data.hop, data.size", next_step="data.n_fft=4096 data.hop=593")
        if self.size > self.n_mels:
            what = f"{self.n_mels} mel bands cannot fill {self.size} rows."
            raise UserError(what, where="data.n_mels", next_step=f"data.n_mels={self.size}")
        if self.size > self.frames:
            what = f"A hop of {self.hop} samples gives {self.frames} frames, which cannot fill {self.size} columns."
            raise UserError(what, where="data.hop", next_step=f"data.hop={max(1, self.samples // self.size)}")

    @property
    def samples(self) -> int:
        """Number of samples in one clip."""
        return SECONDS * self.sample_rate

    @property
    def frames(self) -> int:
        """Number of windows in one clip."""
        return 1 + self.samples // self.hop


def picture(samples: NDArray[np.float32], parameters: LogMel) -> NDArray[np.uint8]:
    """Return the picture of one clip, shape (size, size): 255 is its loudest pixel, 0 is 80 dB or more below.

    A clip without any sound is black.
    """
    decibels = log_mel(samples, parameters)
    loudest = decibels.max()
    if loudest <= 10 * np.log10(QUIETEST_POWER):
        return np.zeros_like(decibels, dtype=np.uint8)
    levels: NDArray[np.uint8] = np.rint((decibels - loudest + TOP_DB) * (255 / TOP_DB)).astype(np.uint8)
    return levels


def log_mel(samples: NDArray[np.float32], parameters: LogMel) -> NDArray[np.float64]:
    """Return the square log-mel of one clip in dB, shape (size, size), clipped to 80 dB below its maximum."""
    columns = area_mean(parameters.frames, parameters.size)
    rows = area_mean(parameters.n_mels, parameters.size)
    mel = mel_power(samples, parameters)
    return power_to_db(_average(rows, _average(columns, mel.T).T))


def mel_power(samples: NDArray[np.float32], parameters: LogMel) -> NDArray[np.float64]:
    """Return the mel power spectrogram, shape (n_mels, frames)."""
    power = _power(samples, parameters)
    filters = mel_filters(parameters.sample_rate, parameters.n_fft, parameters.n_mels, parameters.fmin, parameters.fmax)
    mel = np.zeros((parameters.n_mels, len(power)))
    for band, weights in enumerate(filters):
        # A filter covers few bins: small products are quicker than one large one, and leave other threads alone.
        covered = np.flatnonzero(weights)
        if covered.size:
            bins = slice(covered[0], covered[-1] + 1)
            mel[band] = power[:, bins] @ weights[bins]
    return mel


def power_to_db(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return decibels relative to 1, clipped to 80 dB below the maximum."""
    decibels = 10 * np.log10(np.maximum(power, QUIETEST_POWER))
    clipped: NDArray[np.float64] = np.maximum(decibels, decibels.max() - TOP_DB)
    return clipped


@lru_cache(maxsize=8)
def mel_filters(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> NDArray[np.float64]:
    """Return triangular filters of unit area per Hz, evenly spaced in HTK mel, shape (n_mels, bins)."""
    mels = np.linspace(_mel(fmin), _mel(fmax), n_mels + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    width = np.diff(corners)
    ramps = corners[:, None] - bins
    rising = -ramps[:-2] / width[:-1, None]
    falling = ramps[2:] / width[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    filters: NDArray[np.float64] = triangles * (2 / (corners[2:] - corners[:-2]))[:, None]
    filters.setflags(write=False)
    return filters


@lru_cache(maxsize=8)
def area_mean(length: int, size: int) -> NDArray[np.float64]:
    """Return the matrix, shape (size, length), that averages ``length`` values over ``size`` equal stretches."""
    edges = np.arange(size + 1) * (length / size)
    left, right = edges[:-1, None], edges[1:, None]
    cells = np.arange(length)
    overlap = np.clip(np.minimum(right, cells + 1) - np.maximum(left, cells), 0, None)
    weights: NDArray[np.float64] = overlap * (size / length)
    weights.setflags(write=False)
    return weights


def _power(samples: NDArray[np.float32], parameters: LogMel) -> NDArray[np.float64]:
    padded = np.pad(samples.astype(np.float64), parameters.n_fft // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, parameters.n_fft)[:: parameters.hop]
    spectrum = np.fft.rfft(windows * _hann(parameters.n_fft), axis=1)
    power: NDArray[np.float64] = spectrum.real**2 + spectrum.imag**2
    return power


def _average(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values if weights.shape[0] == weights.shape[1] else weights @ values


@lru_cache(maxsize=8)
def _hann(length: int) -> NDArray[np.float64]:
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    window.setflags(write=False)
    return window


def _mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))
