"""Reading wav files: what comes out, and what is said about files that cannot be read."""

import struct
import wave

import numpy as np
import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.wav import fit_length, read_mono

RATE = 44100


def _write(path, pcm, width=2, rate=RATE):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((pcm.shape[1], width, rate, len(pcm), "NONE", "not compressed"))
        sound.writeframes(pcm.tobytes())
    return path


def test_channels_are_averaged_to_full_scale_one(tmp_path):
    """Samples are the mean of the channels over 32768."""
    pcm = np.array([[16384, 0], [-32768, -32768], [1, 0]], dtype="<i2")

    samples = read_mono(_write(tmp_path / "a.wav", pcm), RATE)

    assert np.float32 == samples.dtype
    assert samples.tolist() == [0.25, -1.0, 0.5 / 32768]


def test_one_channel_is_taken_as_it_is(tmp_path):
    """A mono file reads like a stereo file with equal channels."""
    one = np.array([[5], [-7]], dtype="<i2")
    two = np.repeat(one, 2, axis=1)

    assert np.array_equal(
        read_mono(_write(tmp_path / "one.wav", one), RATE), read_mono(_write(tmp_path / "two.wav", two), RATE)
    )


def test_lengths_are_fitted():
    """One sample short is padded with silence, longer is cropped at the end."""
    samples = np.array([1.0, 2.0, 3.0], dtype=np.float32)

    assert fit_length(samples, 4).tolist() == [1, 2, 3, 0]
    assert fit_length(samples, 2).tolist() == [1, 2]
    assert fit_length(samples, 3).tolist() == [1, 2, 3]


def _bytes(data):
    def write(path):
        path.write_bytes(data)
        return path

    return write


def _float_wav(path):
    data = np.zeros(8, dtype="<f4").tobytes()
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, RATE, 4 * RATE, 4, 32)
    header += b"data" + struct.pack("<I", len(data))
    path.write_bytes(b"RIFF" + struct.pack("<I", len(header) + len(data)) + header + data)
    return path


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.with_name("missing.wav"), "cannot be read .No such file"),
        (_bytes(b""), "no wav that can be read .it ends inside its header"),
        (_bytes(b"ID3 not a wav at all"), "no wav that can be read"),
        (_float_wav, "no wav that can be read .unknown format: 3"),
        (lambda path: _write(path, np.zeros((4, 2), dtype="u1"), width=1), "8 bits a sample"),
        (lambda path: _write(path, np.zeros((4, 2), dtype="<i2"), rate=22050), "22050 samples a second"),
        (lambda path: _write(path, np.zeros((0, 2), dtype="<i2")), "cut short"),
    ],
)
def test_a_file_that_is_no_such_wav_is_named(tmp_path, make, what):
    """Each kind of wrong file has its sentence, its path and a next step."""
    path = make(tmp_path / "a.wav")

    with pytest.raises(UserError, match=what) as caught:
        read_mono(path, RATE)

    assert str(path) == caught.value.where
    assert caught.value.next_step


def test_a_file_cut_anywhere_is_named(tmp_path):
    """Wherever a copy ended, in the header or in the sound, the file is refused by name."""
    whole = _write(tmp_path / "whole.wav", np.arange(40, dtype="<i2").reshape(20, 2)).read_bytes()
    path = tmp_path / "cut.wav"

    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError) as caught:
            read_mono(path, RATE)

        assert str(path) == caught.value.where
