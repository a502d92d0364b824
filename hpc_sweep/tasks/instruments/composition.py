"""Writes the notes of one song: melody or chords for those who lead, accompaniment, bass and drums by genre.

Everything is drawn from one seeded generator, so a song is the same whichever songs are rendered beside it. Programs
and keys are those of General MIDI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.tasks.instruments.repertoire import Song

DRUM_BANK = 128


@dataclass(frozen=True)
class Voice:
    """How an instrument plays: its programs, its range in keys, and whether it plays chords."""

    programs: tuple[int, ...]
    lowest: int
    highest: int
    chords: bool = False


@dataclass(frozen=True)
class Note:
    """One note: ``start`` and ``seconds`` in seconds from the start of the song."""

    start: float
    seconds: float
    key: int
    velocity: int


@dataclass(frozen=True)
class Part:
    """What one instrument plays."""

    program: int
    notes: tuple[Note, ...]
    bank: int = 0


@dataclass(frozen=True)
class Harmony:
    """The keys that fit: ``scale`` in semitones above ``tonic``, one chord (a degree of the scale) every bar."""

    tonic: int
    scale: tuple[int, ...]
    degrees: tuple[int, ...]
    beat: float
    beats: int

    @property
    def bar(self) -> float:
        """Seconds of one bar."""
        return self.beat * self.beats

    def keys(self, lowest: int, highest: int) -> list[int]:
        """List the keys of the scale within a range."""
        return [key for key in range(lowest, highest + 1) if (key - self.tonic) % 12 in self.scale]

    def chord(self, time: float, lowest: int) -> list[int]:
        """List the three keys of the chord at ``time``, the first one at or above ``lowest``."""
        degree = self.degrees[int(time / self.bar + 1e-9) % len(self.degrees)]
        keys = self.keys(lowest, lowest + 36)
        root = (self.tonic + self.scale[degree]) % 12
        first = next(index for index, key in enumerate(keys) if key % 12 == root)
        return [keys[first], keys[first + 2], keys[first + 4]]


VOICES = {
    "cel": Voice((42,), 38, 67),
    "cla": Voice((71,), 52, 86),
    "flu": Voice((73,), 60, 93),
    "gac": Voice((24, 25), 43, 76, chords=True),
    "gel": Voice((26, 27, 29, 30), 43, 81, chords=True),
    "org": Voice((16, 17, 18, 19), 43, 84, chords=True),
    "pia": Voice((0, 1, 2), 38, 91, chords=True),
    "sax": Voice((64, 65, 66, 67), 46, 79),
    "tru": Voice((56, 59), 54, 82),
    "vio": Voice((40,), 55, 91),
    "voi": Voice((52, 53, 54), 48, 79),
}
# Oboe, bassoon, horn, string and brass sections, harp, vibraphone, marimba, accordion, electric piano, pad, banjo.
OTHERS = tuple(Voice((program,), 48, 79, chords=True) for program in (4, 11, 12, 21, 46, 48, 49, 61, 89, 105))
OTHERS += tuple(Voice((program,), 48, 76) for program in (60, 68, 70))
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 5, 7, 9, 10))
ALSO_OF_IRMAS = 0.45
KICK, SNARE, PEDAL, HAT, RIDE, CONGA, MARACAS = 36, 38, 44, 42, 51, 63, 70
# Per genre: (key of the kit, beats of a bar on which it sounds).
RHYTHMS = {
    "cou_fol": ((KICK, (0, 2)), (SNARE, (1, 3)), (HAT, (0, 1, 2, 3))),
    "pop_roc": ((KICK, (0, 1.5, 2)), (SNARE, (1, 3)), (HAT, (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))),
    "lat_sou": ((KICK, (0, 1.5, 3)), (CONGA, (0.5, 1, 2.5, 3.5)), (MARACAS, (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5))),
    "jaz_blu": ((RIDE, (0, 1, 1.67, 2, 3, 3.67)), (PEDAL, (1, 3)), (KICK, (0,))),
    "cla": (),
}
BASSES = {"cla": 43, "jaz_blu": 32, "cou_fol": 32, "pop_roc": 34, "lat_sou": 33}


def compose(song: Song, seconds: float, generator: np.random.Generator) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Return the parts of those who lead and the parts of those who accompany, ``seconds`` long."""
    harmony = _harmony(generator)
    leads = tuple(_play(VOICES[lead], harmony, seconds, generator) for lead in song.leads)
    others = [_play(voice, harmony, seconds, generator, soft=True) for voice in _accompaniment(song.leads, generator)]
    if song.drums or generator.random() < (0.3 if song.genre == "cla" else 0.7):
        others.append(_bass(BASSES[song.genre], harmony, seconds, generator))
    if song.drums:
        others.append(_drums(song.genre, harmony, seconds, generator))
    return leads, tuple(others)


def _harmony(generator: np.random.Generator) -> Harmony:
    scale = SCALES[generator.integers(len(SCALES))]
    degrees = (0, *(int(degree) for degree in generator.choice(6, size=3)))
    beat = 60 / generator.uniform(70, 160)
    return Harmony(int(generator.integers(12)), scale, degrees, beat, beats=4)


def _accompaniment(leads: Sequence[str], generator: np.random.Generator) -> list[Voice]:
    """Choose one or two other instruments; for a single lead they may be classes of IRMAS too."""
    voices = []
    for _ in range(int(generator.integers(1, 3))):
        classes = [label for label in VOICES if label not in leads]
        if len(leads) == 1 and generator.random() < ALSO_OF_IRMAS:
            voices.append(VOICES[str(generator.choice(classes))])
        else:
            voices.append(OTHERS[generator.integers(len(OTHERS))])
    return voices


def _play(
    voice: Voice, harmony: Harmony, seconds: float, generator: np.random.Generator, *, soft: bool = False
) -> Part:
    program = int(generator.choice(voice.programs))
    loudness = int(generator.integers(55, 85) if soft else generator.integers(70, 115))
    in_chords = voice.chords and generator.random() < (0.8 if soft else 0.5)
    write = _chords if in_chords else _melody
    return Part(program, tuple(write(voice, harmony, seconds, loudness, generator)))


def _melody(
    voice: Voice, harmony: Harmony, seconds: float, loudness: int, generator: np.random.Generator
) -> list[Note]:
    """Walk along the scale in steps and small leaps, with a rest now and then."""
    keys = harmony.keys(voice.lowest, voice.highest)
    place = int(generator.integers(len(keys) // 4, 3 * len(keys) // 4))
    pace = generator.choice((0.5, 1.0, 2.0), p=(0.35, 0.45, 0.2))
    legato = generator.uniform(0.6, 1.0)
    notes, time = [], 0.0
    while time < seconds:
        length = harmony.beat * pace * float(generator.choice((0.5, 1.0, 1.5, 2.0), p=(0.3, 0.4, 0.1, 0.2)))
        if generator.random() > 0.08:  # noqa: PLR2004 - one rest in twelve notes
            notes.append(Note(time, length * legato, keys[place], _accent(loudness, generator)))
        place = int(np.clip(place + generator.choice((-3, -2, -1, 0, 1, 2, 3)), 0, len(keys) - 1))
        time += length
    return notes


def _chords(
    voice: Voice, harmony: Harmony, seconds: float, loudness: int, generator: np.random.Generator
) -> list[Note]:
    """Repeat the chord of the bar, struck together or one key after the other."""
    lowest = int(generator.integers(voice.lowest, max(voice.lowest + 1, voice.highest - 30)))
    stroke = harmony.beat * float(generator.choice((1.0, 2.0, 4.0)))
    broken = generator.random() < 0.5  # noqa: PLR2004 - as often as not
    notes = []
    for time in np.arange(0, seconds, stroke):
        for place, key in enumerate(harmony.chord(float(time), lowest)):
            delay = place * stroke / 3 if broken else 0.0
            notes.append(Note(float(time) + delay, stroke - delay, key, _accent(loudness, generator)))
    return notes


def _bass(program: int, harmony: Harmony, seconds: float, generator: np.random.Generator) -> Part:
    step = harmony.beat * float(generator.choice((1.0, 2.0)))
    notes = []
    for time in np.arange(0, seconds, step):
        key = int(generator.choice(harmony.chord(float(time), 31)[:2], p=(0.7, 0.3)))
        notes.append(Note(float(time), step * 0.9, key, _accent(80, generator)))
    return Part(program, tuple(notes))


def _drums(genre: str, harmony: Harmony, seconds: float, generator: np.random.Generator) -> Part:
    notes = [
        Note(float(bar) + beat * harmony.beat, 0.1, key, _accent(78, generator))
        for bar in np.arange(0, seconds, harmony.bar)
        for key, beats in RHYTHMS[genre]
        for beat in beats
    ]
    return Part(0, tuple(sorted(notes, key=lambda note: note.start)), bank=DRUM_BANK)


def _accent(loudness: int, generator: np.random.Generator) -> int:
    return int(np.clip(loudness + generator.integers(-10, 11), 1, 127))
