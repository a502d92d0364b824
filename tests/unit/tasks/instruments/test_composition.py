"""The notes of a song."""

import numpy as np
import pytest

from hpc_sweep.tasks.instruments.composition import DRUM_BANK, VOICES, compose
from hpc_sweep.tasks.instruments.irmas import CLASSES, GENRES
from hpc_sweep.tasks.instruments.repertoire import DRUMS, Song


def _song(label, genre="pop_roc", *, drums=True):
    return Song(1, (label,), genre, drums, ("x.wav",))


@pytest.mark.parametrize("label", CLASSES)
def test_the_lead_plays_its_instrument_in_its_range(label):
    """Whatever the seed, a lead has notes, of its own programs, within reach of a chord of its range."""
    voice = VOICES[label]
    for seed in range(10):
        (lead,), _ = compose(_song(label), 9.0, np.random.default_rng(seed))

        assert lead.notes
        assert lead.program in voice.programs
        assert all(voice.lowest <= note.key <= voice.highest + 12 for note in lead.notes)
        assert all(1 <= note.velocity <= 127 and note.seconds > 0 for note in lead.notes)


@pytest.mark.parametrize("genre", GENRES)
def test_drums_play_when_the_song_has_them(genre):
    """The kit sounds in songs with drums and in no other."""
    for drums in (True, False):
        _, others = compose(_song("sax", genre, drums=drums), 9.0, np.random.default_rng(0))

        assert (drums and DRUMS[genre] > 0) == any(part.bank == DRUM_BANK and part.notes for part in others)


def test_equal_seeds_give_equal_songs():
    """A song is decided by its generator alone."""
    one, same, other = (compose(_song("pia"), 9.0, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert one == same
    assert one != other


def test_every_lead_of_a_testing_song_plays():
    """Two leads are two parts, and nobody else plays a class of IRMAS that is not in the labels."""
    classes = {program for label in CLASSES for program in VOICES[label].programs}
    for seed in range(20):
        song = Song(10_000, ("vio", "tru"), "cla", drums=False, files=("x.wav",))
        leads, others = compose(song, 9.0, np.random.default_rng(seed))

        assert [next(c for c in CLASSES if lead.program in VOICES[c].programs) for lead in leads] == ["vio", "tru"]
        assert not classes & {part.program for part in others if part.bank != DRUM_BANK}
