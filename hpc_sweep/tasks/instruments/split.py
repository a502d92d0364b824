"""Parts clips into training and validation: stratified by class, seeded, with groups left whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def split(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    fraction: float,
    seed: int,
    by: str = "song",
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the training and of the validation clips, each ascending.

    Groups are taken in a random order, and one goes to validation when that brings the class counts there nearer
    to ``fraction`` of each class, rounded up. ``by="clip"`` cuts through groups: clips of one song land on both
    sides and the validation accuracy flatters. Raises ``UserError`` for another ``by``, a fraction outside (0, 1),
    or when one side would stay empty.
    """
    if by not in ("song", "clip"):
        what = f"A split goes by song or by clip, not by '{by}'."
        raise UserError(what, where="data.split", next_step="data.split=song")
    if not 0 < fraction < 1:
        what = f"The part for validation lies between 0 and 1, and {fraction} does not."
        raise UserError(what, where="data.validation", next_step="data.validation=0.2")
    held_out = _held_out(labels, groups if by == "song" else np.arange(len(labels)), fraction, seed)
    validation = np.flatnonzero(held_out)
    training = np.flatnonzero(~held_out)
    if not len(validation) or not len(training):
        what = f"{len(labels)} clips in {len(set(groups.tolist()))} groups are too few to split by {by}."
        raise UserError(what, where="data.split", next_step="take more clips, or another data.validation")
    return training, validation


def _held_out(labels: NDArray[np.int64], groups: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Mark the validation clips, shape (clips,)."""
    classes = int(labels.max(initial=-1)) + 1
    totals = np.bincount(labels, minlength=classes)
    owed = totals - ((1 - fraction) * totals).astype(np.int64)
    held_out = np.zeros(len(labels), dtype=np.bool_)
    for group in _shuffled(_members(groups), seed):
        gain = np.bincount(labels[group], minlength=classes)
        if np.abs(owed - gain).sum() < np.abs(owed).sum():
            held_out[group] = True
            owed -= gain
    return held_out


def _members(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """List the clips of each group, groups ascending."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, starts)


def _shuffled(members: Sequence[NDArray[np.int64]], seed: int) -> list[NDArray[np.int64]]:
    return [members[number] for number in np.random.default_rng(seed).permutation(len(members))]
