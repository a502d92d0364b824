"""Make logmel_oracle.npz: half a second of sound and the mel power that librosa 0.11.0 finds in it.

python tests/data/make_logmel_oracle.py        # needs librosa, which the tests themselves do not
"""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np

SAMPLE_RATE = 44100
SETTINGS = {  # name: (n_fft, hop, n_mels, fmin, fmax)
    "square_224": (4096, 593, 224, 30.0, 11025.0),
    "square_32": (4096, 593, 32, 30.0, 11025.0),
    "whole_band": (2048, 512, 64, 0.0, 22050.0),
}


def sound() -> np.ndarray:
    """Return a rising tone, a fading tone and noise that grows, as int16."""
    time = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    rising = 0.3 * np.sin(2 * np.pi * (200 + 4000 * time) * time)
    fading = 0.2 * np.exp(-8 * time) * np.sin(2 * np.pi * 880 * time)
    noise = 0.05 * time * np.random.default_rng(0).standard_normal(len(time))
    return np.rint(32767 * (rising + fading + noise)).astype(np.int16)


def main() -> None:
    """Write the file beside this script."""
    pcm = sound()
    samples = pcm.astype(np.float32) / np.float32(32768)
    values = {}
    for name, (n_fft, hop, n_mels, fmin, fmax) in SETTINGS.items():
        mel = librosa.feature.melspectrogram(
            y=samples.astype(np.float64),
            sr=SAMPLE_RATE,
            n_fft=n_fft,
            hop_length=hop,
            n_mels=n_mels,
            fmin=fmin,
            fmax=fmax,
            htk=True,
            norm="slaney",
        )
        values[name] = librosa.power_to_db(mel, top_db=80.0).astype(np.float32)
        values[f"{name}_settings"] = np.array([n_fft, hop, n_mels, fmin, fmax])
    np.savez_compressed(Path(__file__).with_name("logmel_oracle.npz"), pcm=pcm, **values)


if __name__ == "__main__":
    main()
