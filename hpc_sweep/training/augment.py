"""SpecAugment: stripes of time and of frequency are hidden, in each picture others.

``B`` pictures, ``M`` stripes of each kind. What is drawn and what is done with it are apart: the drawing needs a
key, the rest is a pure function of uniform numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hpc_sweep.errors import UserError
from hpc_sweep.training import streams

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

AUGMENTATIONS = ("none", "specaugment")


def augment(pictures: Tensor, cfg: DictConfig, key: Tensor) -> Tensor:
    """Augment pictures (B, 1, rows, columns) as the ``augment`` node of a configuration says, by a key ().

    Rows are frequencies and columns are times. Raises UserError for an unknown name, a negative number of stripes
    and a width that is no part of the picture.
    """
    if cfg.name not in AUGMENTATIONS:
        options = " or ".join(f"augment={name}" for name in AUGMENTATIONS)
        raise UserError(f"'{cfg.name}' is no augmentation.", where="Key: augment.name", next_step=f"Type {options}.")
    if cfg.name == "none":
        return pictures
    frequency, time = streams.sites(key, ("frequency", "time"))
    hidden_rows = _draw(pictures, -2, cfg, "frequency", frequency)
    hidden_columns = _draw(pictures, -1, cfg, "time", time)
    return hide(pictures, hidden_rows, hidden_columns)


def stripes(uniform: Tensor, length: int, width: float) -> Tensor:
    """Return which of ``length`` positions the stripes of each picture cover, (B, length).

    ``uniform`` (B, M, 2) in [0, 1) gives the width and the start of each stripe: widths are even over 0 to the part
    ``width`` of the length, rounded down; starts even over all that leave the stripe inside.
    """
    widest = int(width * length)
    widths = (uniform[..., :1] * (widest + 1)).long()
    starts = (uniform[..., 1:] * (length - widths + 1)).long()
    positions = torch.arange(length, device=uniform.device)
    return ((positions >= starts) & (positions < starts + widths)).any(1)


def hide(pictures: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Replace the hidden rows (B, rows) and columns (B, columns) of each picture by that picture's own mean."""
    hidden = rows[:, None, :, None] | columns[:, None, None, :]
    return torch.where(hidden, pictures.mean((-2, -1), keepdim=True), pictures)


def _draw(pictures: Tensor, axis: int, cfg: DictConfig, kind: str, key: Tensor) -> Tensor:
    count, width = cfg[f"{kind}_masks"], cfg[f"{kind}_width"]
    if count < 0 or not 0 <= width <= 1:
        raise UserError(
            f"SpecAugment cannot hide {count} stripes of {kind} up to the part {width} of a picture.",
            where=f"Keys: augment.{kind}_masks, augment.{kind}_width",
            next_step=f"Type for example augment.{kind}_masks=2 augment.{kind}_width=0.15",
        )
    return stripes(streams.uniform(key, len(pictures), count, 2), pictures.shape[axis], width)
