"""Log-mel pictures: equal to librosa's, square, and black where nothing sounds."""

from pathlib import Path

import numpy as np
import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.logmel import LogMel, area_mean, log_mel, mel_filters, mel_power, picture, power_to_db

ORACLE = Path(__file__).parents[3] / "data" / "logmel_oracle.npz"
NAMES = ("square_224", "square_32", "whole_band")


@pytest.fixture(scope="module")
def oracle():
    """Load the sound and librosa's values, as tests/data/make_logmel_oracle.py stored them."""
    with np.load(ORACLE) as arrays:
        return dict(arrays)


def _parameters(settings):
    n_fft, hop, n_mels, fmin, fmax = settings.tolist()
    return LogMel(n_fft=int(n_fft), hop=int(hop), n_mels=int(n_mels), fmin=fmin, fmax=fmax, size=32)


@pytest.fixture
def tone():
    """Return three seconds of a tone in noise."""
    noise = np.random.default_rng(0).standard_normal(132300)
    return (0.3 * np.sin(0.1 * np.arange(132300)) + 0.01 * noise).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_decibels_equal_the_stored_ones_of_librosa(oracle, name):
    """The mel power in dB differs from librosa 0.11.0 by less than a ten-thousandth of a decibel."""
    samples = oracle["pcm"].astype(np.float32) / np.float32(32768)

    decibels = power_to_db(mel_power(samples, _parameters(oracle[f"{name}_settings"])))

    assert oracle[name].shape == decibels.shape
    assert np.abs(oracle[name] - decibels).max() < 1e-4


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", NAMES)
def test_decibels_equal_those_of_the_librosa_at_hand(oracle, tone, name):
    """Where librosa is installed, it agrees on three seconds of another sound."""
    librosa = pytest.importorskip("librosa", reason="librosa is no dependency of the tests; its values are stored")
    parameters = _parameters(oracle[f"{name}_settings"])

    mel = librosa.feature.melspectrogram(
        y=tone.astype(np.float64),
        sr=parameters.sample_rate,
        n_fft=parameters.n_fft,
        hop_length=parameters.hop,
        n_mels=parameters.n_mels,
        fmin=parameters.fmin,
        fmax=parameters.fmax,
        htk=True,
        norm="slaney",
    )

    decibels = power_to_db(mel_power(tone, parameters))

    assert np.abs(librosa.power_to_db(mel, top_db=80.0) - decibels).max() < 1e-4


def test_the_default_picture_is_librosas_without_any_averaging(tone):
    """At 224 x 224 three seconds give 224 frames, so that squaring changes nothing."""
    parameters = LogMel()

    assert parameters.frames == 224
    assert np.array_equal(power_to_db(mel_power(tone, parameters)), log_mel(tone, parameters))


def test_a_smaller_picture_averages_power(tone):
    """At 32 x 32 a column is the mean power of seven frames."""
    parameters = LogMel(n_mels=32, size=32)
    mel = mel_power(tone, parameters)

    expected = power_to_db(mel.reshape(32, 32, 7).mean(axis=2))

    assert np.allclose(expected, log_mel(tone, parameters), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("length", "size"), [(224, 32), (259, 224), (7, 7), (5, 1)])
def test_area_means_share_every_frame_once(length, size):
    """Each row averages an equal stretch; every frame counts the same in total."""
    weights = area_mean(length, size)

    assert np.allclose(1, weights.sum(axis=1))
    assert np.allclose(size / length, weights.sum(axis=0))
    assert length != size or np.array_equal(np.eye(size), weights)


def test_every_default_filter_covers_a_bin():
    """No band of the default picture is empty, which librosa would warn of."""
    parameters = LogMel()

    filters = mel_filters(44100, parameters.n_fft, parameters.n_mels, parameters.fmin, parameters.fmax)

    assert filters.max(axis=1).min() > 0


def test_pictures_are_scaled_to_their_loudest_pixel(tone):
    """Loudness does not show, 255 is reached, and silence is black."""
    parameters = LogMel(n_mels=32, size=32)

    loud = picture(tone, parameters)

    assert (np.uint8, (32, 32), 255) == (loud.dtype, loud.shape, loud.max())
    assert np.array_equal(loud, picture(tone / 4, parameters))
    assert not picture(np.zeros(132300, dtype=np.float32), parameters).any()


def test_low_bands_come_first():
    """Rows go from low to high frequency: a low tone lights a lower row than a high one."""
    parameters = LogMel(n_mels=32, size=32)
    time = np.arange(132300) / 44100
    rows = [
        picture(np.sin(2 * np.pi * hertz * time).astype(np.float32), parameters)[:, 16].argmax()
        for hertz in (100, 1000, 5000)
    ]

    assert rows == sorted(rows)
    assert len(set(rows)) == 3


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"fmax": 30000.0}, "fmax"),
        ({"fmin": 12000.0}, "fmin"),
        ({"n_fft": 4095}, "n_fft"),
        ({"hop": 0}, "hop"),
        ({"n_mels": 32}, "n_mels"),
        ({"hop": 2000}, "hop"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(wrong, where):
    """The message names the key and a value that would do."""
    with pytest.raises(UserError) as caught:
        LogMel(**wrong)

    assert where in caught.value.where
    assert caught.value.next_step.startswith("data.")


def test_the_hop_that_is_advised_works():
    """Typing what the message says gives a picture of the size asked for."""
    with pytest.raises(UserError) as caught:
        LogMel(hop=5000, n_mels=64, size=64)
    advised = int(caught.value.next_step.removeprefix("data.hop="))

    assert LogMel(hop=advised, n_mels=64, size=64).frames >= 64
