"""Joins clips that must not be parted by a split: those of one song, and those with the very same content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def song_groups(songs: Sequence[str], contents: Sequence[str]) -> NDArray[np.int64]:
    """Return the group of each clip, shape (clips,), numbered from 0 in order of appearance.

    Two clips are in one group when a chain of equal songs or equal contents (their digests) leads from one to the
    other: IRMAS holds 56 recordings twice, under different songs and some under different labels.
    """
    parents = list(range(len(songs)))
    first: dict[tuple[str, str], int] = {}
    for clip, (song, content) in enumerate(zip(songs, contents, strict=True)):
        for key in (("song", song), ("content", content)):
            _join(parents, clip, first.setdefault(key, clip))
    roots = [_root(parents, clip) for clip in range(len(parents))]
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(root, len(numbers)) for root in roots], dtype=np.int64)


def _join(parents: list[int], one: int, other: int) -> None:
    parents[_root(parents, one)] = _root(parents, other)


def _root(parents: list[int], clip: int) -> int:
    while parents[clip] != clip:
        parents[clip] = parents[parents[clip]]
        clip = parents[clip]
    return clip
