"""Reads the layout of IRMAS (https://zenodo.org/records/1290750) as it lies on disk.

::

    <root>/IRMAS-TrainingData/<class>/*.wav                         one label per clip, in its folder
    <root>/IRMAS-TestingData-Part1/Part1/*.wav, *.txt               several labels per excerpt, in its .txt
    <root>/IRMAS-TestingData-Part2/IRTestingData-Part2/*.wav, *.txt
    <root>/IRMAS-TestingData-Part3/Part3/*.wav, *.txt

    071__[gel][dru][cou_fol]0754__1.wav
    ^^^  ^^^^^ ^^^^ ^^^^^^^  ^^^^  ^
    |    class drums genre   song  take
    prefix (optional, and no name of a song); drums (optional) is dru, nod or ---

The tags are told apart by position: ``[cla][cla]0189__2.wav`` is a clarinet in classical music.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

TRAINING_FOLDER = "IRMAS-TrainingData"
TESTING_FOLDERS = (
    "IRMAS-TestingData-Part1/Part1",
    "IRMAS-TestingData-Part2/IRTestingData-Part2",
    "IRMAS-TestingData-Part3/Part3",
)
TRAINING_COUNTS = {
    "cel": 388,
    "cla": 505,
    "flu": 451,
    "gac": 637,
    "gel": 760,
    "org": 682,
    "pia": 721,
    "sax": 626,
    "tru": 577,
    "vio": 580,
    "voi": 778,
}
CLASSES = tuple(TRAINING_COUNTS)
GENRES = ("cou_fol", "cla", "pop_roc", "lat_sou", "jaz_blu")

_NAME = re.compile(
    r"(?:(?P<prefix>\d{3})__)?"
    r"\[(?P<label>\w{3})\]"
    r"(?:\[(?P<drums>dru|nod|---)\])?"
    rf"\[(?P<genre>{'|'.join(GENRES)})\]"
    r"(?P<song>\d{4})__(?P<take>\d)\.wav"
)
_EXPECTED_NAME = "a name of IRMAS reads [gel][dru][cou_fol]0754__1.wav, with or without a 071__ in front"
_EXPECTED_ROOT = f"data.root=<folder that holds {TRAINING_FOLDER}>"


@dataclass(frozen=True)
class Clip:
    """One training clip: ``path`` is relative to the training folder, ``song`` is the four-digit id.

    The id alone names the song, without the prefix: twelve ids of IRMAS serve two recordings, and joining
    those is harmless where parting the clips of one song is not.
    """

    path: str
    label: str
    song: str
    drums: str | None
    genre: str
    take: int


@dataclass(frozen=True)
class Excerpt:
    """One testing excerpt of 5 to 20 s: ``path`` is relative to the root, ``labels`` are all that sound in it."""

    path: str
    labels: tuple[str, ...]
    song: str


def parse_name(name: str) -> Clip:
    """Read the name of one training clip; the path of the result is the name alone.

    Raises ``UserError`` when the name is not in the grammar or its class is not one of IRMAS's eleven.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError("This file name is not in the grammar of IRMAS.", where=name, next_step=_EXPECTED_NAME)
    if match["label"] not in CLASSES:
        raise _unknown_class(match["label"], name)
    return Clip(name, match["label"], match["song"], match["drums"], match["genre"], int(match["take"]))


def training_folder(root: Path) -> Path:
    """Return the folder of the eleven class folders: ``root`` itself or ``IRMAS-TrainingData`` inside it."""
    if not root.is_dir():
        raise UserError("The folder of the audio does not exist.", where=str(root), next_step=_EXPECTED_ROOT)
    inside = root / TRAINING_FOLDER
    folder = inside if inside.is_dir() else root
    if not any((folder / label).is_dir() for label in CLASSES):
        what = f"This folder holds neither {TRAINING_FOLDER} nor the class folders of IRMAS ({', '.join(CLASSES)})."
        raise UserError(what, where=str(folder), next_step=_EXPECTED_ROOT)
    return folder


def read_training(root: Path) -> list[Clip]:
    """List the training clips below ``root``, sorted by path; only names are read, no sound.

    Raises ``UserError`` naming the file or folder when the root is wrong, a class folder is empty or unknown,
    or a name is not in the grammar or belongs into another class folder.
    """
    folder = training_folder(root)
    return [clip for label in _class_folders(folder) for clip in _read_class(folder / label)]


def read_testing(root: Path) -> list[Excerpt]:
    """List the testing excerpts below ``root`` (or beside the training folder), sorted by path within each part.

    The list is empty when there is no testing folder. Raises ``UserError`` naming the file when an excerpt has
    no ``.txt``, or the ``.txt`` has no label or one that is not of IRMAS.
    """
    folder = training_folder(root)
    home = folder.parent if folder.name == TRAINING_FOLDER else root
    return [_read_excerpt(home, wav) for part in TESTING_FOLDERS for wav in _sounds(home / part)]


def describe_counts(clips: list[Clip]) -> str:
    """Say in one sentence how the class counts differ from those of IRMAS; empty when they do not."""
    counts = Counter(clip.label for clip in clips)
    if dict(counts) == TRAINING_COUNTS:
        return ""
    different = [label for label in CLASSES if counts[label] != TRAINING_COUNTS[label]]
    found = ", ".join(f"{label} {counts[label]} ({TRAINING_COUNTS[label]})" for label in different)
    total = sum(TRAINING_COUNTS.values())
    return f"{len(clips):,} clips where IRMAS has {total:,}; classes that differ, with IRMAS's count: {found}."


def _class_folders(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not _is_debris(entry))
    for name in names:
        if name not in CLASSES:
            raise _unknown_class(name, str(folder / name))
    return names


def _read_class(folder: Path) -> list[Clip]:
    sounds = _sounds(folder)
    if not sounds:
        raise UserError("This class folder holds no .wav file.", where=str(folder), next_step=_EXPECTED_ROOT)
    return [_read_clip(sound) for sound in sounds]


def _read_clip(sound: Path) -> Clip:
    try:
        clip = parse_name(sound.name)
    except UserError as error:
        raise UserError(error.what, where=str(sound), next_step=error.next_step) from None
    if clip.label != sound.parent.name:
        what = f"This clip is named [{clip.label}] but lies in the folder {sound.parent.name}."
        raise UserError(what, where=str(sound), next_step=f"move it to {sound.parent.parent / clip.label}")
    return Clip(f"{clip.label}/{sound.name}", clip.label, clip.song, clip.drums, clip.genre, clip.take)


def _read_excerpt(home: Path, sound: Path) -> Excerpt:
    annotation = sound.with_suffix(".txt")
    if not annotation.is_file():
        raise UserError(
            "This testing excerpt has no .txt with its labels.",
            where=str(sound),
            next_step=f"put {annotation.name} beside it, one label per line",
        )
    labels = tuple(line.strip() for line in _text(annotation).splitlines() if line.strip())
    if not labels:
        next_step = "write the labels, one per line"
        raise UserError("This annotation holds no label.", where=str(annotation), next_step=next_step)
    for label in labels:
        if label not in CLASSES:
            raise _unknown_class(label, str(annotation))
    song = re.sub(r"-\d+$", "", sound.stem)
    return Excerpt(sound.relative_to(home).as_posix(), labels, song)


def _text(annotation: Path) -> str:
    try:
        return annotation.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        next_step = "write the labels, one per line"
        raise UserError("This annotation is no text.", where=str(annotation), next_step=next_step) from None


def _sounds(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() == ".wav" and not _is_debris(entry))


def _is_debris(entry: Path) -> bool:
    """Tell what archivers and file managers leave behind (``._x.wav``, ``__MACOSX``) from the data set."""
    return entry.name.startswith((".", "__MACOSX"))


def _unknown_class(name: str, where: str) -> UserError:
    next_step = f"the classes are {', '.join(CLASSES)}"
    return UserError(f"'{name}' is no class of IRMAS.", where=where, next_step=next_step)
