"""Decides which songs are rendered: instruments, genres, takes and names, in the proportions of IRMAS.

How many clips a class has, that songs have up to three of them, and which genres a class never has are IRMAS's; how
often a class appears in the genres that it has, and how often a name has a tag or a prefix, is chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.irmas import CLASSES, GENRES, TESTING_FOLDERS, TRAINING_COUNTS

TAKES = 3
MOST_SONGS = 9_999
# Rows of the genres in the order of GENRES: country or folk, classical, pop or rock, latin or soul, jazz or blues.
GENRE_MIX = {
    "cel": (0.00, 0.80, 0.12, 0.00, 0.08),
    "cla": (0.06, 0.50, 0.04, 0.05, 0.35),
    "flu": (0.10, 0.45, 0.07, 0.13, 0.25),
    "gac": (0.30, 0.28, 0.17, 0.18, 0.07),
    "gel": (0.06, 0.02, 0.57, 0.07, 0.28),
    "org": (0.04, 0.00, 0.52, 0.12, 0.32),
    "pia": (0.06, 0.34, 0.20, 0.10, 0.30),
    "sax": (0.02, 0.08, 0.16, 0.12, 0.62),
    "tru": (0.02, 0.24, 0.10, 0.16, 0.48),
    "vio": (0.34, 0.48, 0.06, 0.02, 0.10),
    "voi": (0.16, 0.00, 0.48, 0.20, 0.16),
}
DRUMS = {"cou_fol": 0.25, "cla": 0.0, "pop_roc": 0.9, "lat_sou": 0.75, "jaz_blu": 0.6}
TAGGED, TAGGED_UNKNOWN, PREFIXED = 0.28, 0.02, 0.3
# Testing excerpts of IRMAS with 1, 2, 3, 4 and 5 labels, and with each label.
LABELS_PER_EXCERPT = (1236, 1278, 318, 39, 3)
TESTING_LABELS = (111, 62, 163, 535, 942, 361, 995, 326, 167, 211, 1044)


@dataclass(frozen=True)
class Song:
    """One song: who leads it (several, in a testing song), its genre, whether drums play, and its files.

    ``files`` are paths relative to the root, one per take. ``number`` seeds everything that is heard.
    """

    number: int
    leads: tuple[str, ...]
    genre: str
    drums: bool
    files: tuple[str, ...]

    @property
    def is_training(self) -> bool:
        """Tell whether the takes are training clips, with one label and 3 s."""
        return self.number <= MOST_SONGS


def songs_for_training(clips: int, seed: int) -> list[Song]:
    """Return the songs of ``clips`` training clips; the same arguments always give the same songs."""
    if not len(CLASSES) <= clips <= MOST_SONGS:
        what = f"{clips} training clips cannot be rendered: {len(CLASSES)} to {MOST_SONGS:,} can."
        raise UserError(what, where="--clips", next_step="--clips 450")
    takes = [(label, take) for label, count in class_counts(clips).items() for take in takes_of(count)]
    numbers = _generator(seed, 0).permutation(MOST_SONGS)[: len(takes)] + 1
    return [
        _training_song(int(number), label, take, seed) for number, (label, take) in zip(numbers, takes, strict=True)
    ]


def songs_for_testing(excerpts: int, seed: int) -> list[Song]:
    """Return songs for ``excerpts`` testing excerpts with one to five labels each, dealt to IRMAS's three parts."""
    return [_testing_song(number, take, seed) for number, take in enumerate(takes_of(excerpts), start=MOST_SONGS + 1)]


def class_counts(clips: int) -> dict[str, int]:
    """Share ``clips`` among the classes as IRMAS does, at least one each, by largest remainder."""
    spare = clips - len(CLASSES)
    shares = np.array(list(TRAINING_COUNTS.values())) * spare / sum(TRAINING_COUNTS.values())
    counts = shares.astype(int)
    rest = np.argsort(counts - shares, kind="stable")[: spare - counts.sum()]
    counts[rest] += 1
    return {label: int(count) + 1 for label, count in zip(CLASSES, counts, strict=True)}


def takes_of(clips: int) -> list[int]:
    """Return how many takes each song has: three, and what is left over in the last one."""
    return [TAKES] * (clips // TAKES) + [clips % TAKES] * (clips % TAKES > 0)


def _training_song(number: int, label: str, takes: int, seed: int) -> Song:
    generator = _generator(seed, number)
    genre = str(generator.choice(GENRES, p=GENRE_MIX[label]))
    drums = bool(generator.random() < DRUMS[genre])
    chance = generator.random()
    truth = "[dru]" if drums else "[nod]"
    tag = "[---]" if chance < TAGGED_UNKNOWN else truth if chance < TAGGED else ""
    prefix = f"{generator.integers(1, 1000):03}__" if generator.random() < PREFIXED else ""
    stem = f"IRMAS-TrainingData/{label}/{prefix}[{label}]{tag}[{genre}]{number:04}__"
    return Song(number, (label,), genre, drums, tuple(f"{stem}{take}.wav" for take in range(1, takes + 1)))


def _testing_song(number: int, takes: int, seed: int) -> Song:
    generator = _generator(seed, number)
    chances = np.array(LABELS_PER_EXCERPT) / sum(LABELS_PER_EXCERPT)
    weights = np.array(TESTING_LABELS) / sum(TESTING_LABELS)
    leads = generator.choice(CLASSES, size=1 + generator.choice(len(chances), p=chances), replace=False, p=weights)
    genre = str(generator.choice(GENRES, p=GENRE_MIX[leads[0]]))
    part = TESTING_FOLDERS[number % len(TESTING_FOLDERS)]
    files = tuple(f"{part}/({number - MOST_SONGS:03}) rendered song-{take}.wav" for take in range(1, takes + 1))
    return Song(number, tuple(str(lead) for lead in leads), genre, bool(generator.random() < DRUMS[genre]), files)


def _generator(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng((seed, number))
