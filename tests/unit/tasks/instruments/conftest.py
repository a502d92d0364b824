"""Small folders in the layout of IRMAS, and the cfg nodes that point at them."""

import wave

import numpy as np
import pytest

SAMPLE_RATE = 44100
NAMES = (
    "cel/[cel][cla]0001__1.wav",
    "cel/[cel][cla]0001__2.wav",
    "cel/008__[cel][nod][cla]0002__1.wav",
    "gel/071__[gel][dru][cou_fol]0754__1.wav",
    "gel/[gel][---][pop_roc]0755__1.wav",
    "gel/[gel][pop_roc]0755__2.wav",
)


@pytest.fixture
def write_wav():
    """Write a stereo 16-bit file of noise and a tone, different for every seed."""

    def write(path, seed=0, frames=3 * SAMPLE_RATE - 1, sample_rate=SAMPLE_RATE):
        generator = np.random.default_rng(seed)
        tone = 6000 * np.sin(np.arange(frames)[:, None] * generator.uniform(0.02, 0.2))
        pcm = (tone + 500 * generator.standard_normal((frames, 2))).astype("<i2")
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as sound:
            sound.setparams((2, 2, sample_rate, frames, "NONE", "not compressed"))
            sound.writeframes(pcm.tobytes())
        return path

    return write


@pytest.fixture
def irmas(tmp_path, write_wav):
    """Make a root with six training clips of two classes and four songs; the sixth sounds like the fourth."""
    root = tmp_path / "root with a space"
    for seed, name in enumerate(NAMES):
        write_wav(root / "IRMAS-TrainingData" / name, seed=3 if seed == 5 else seed)
    return root


@pytest.fixture
def irmas_node(irmas, tmp_path):
    """Return the ``data`` node for the small root."""
    log_mel = {"sample_rate": SAMPLE_RATE, "n_fft": 4096, "hop": 593, "n_mels": 32, "fmin": 30.0, "fmax": 11025.0}
    split = {"split": "song", "validation": 0.5, "split_seed": 0}
    return {"source": "irmas", "root": str(irmas), "cache": str(tmp_path / "cache"), "size": 32, **log_mel, **split}


@pytest.fixture
def embedded_node():
    """Return the ``data`` node for the data set of the package."""
    split = {"split": "song", "validation": 0.2, "split_seed": 0}
    return {"source": "embedded", "root": None, "cache": None, "size": 32, **split}
