"""What the numbers of a configuration may be, checked before anything is submitted; needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.irmas import CLASSES
from hpc_sweep.training.bounds import CLIP_NORM, DROPOUT, L2, LEARNING_RATE, Range

if TYPE_CHECKING:
    from omegaconf import DictConfig


_ABSENT = object()

RANGES = {
    "epochs": Range(1, whole=True, example=15),
    "batch_size": Range(1, whole=True, example=32),
    "mixup": Range(0, example=0.2),
    "label_smoothing": Range(0, 1, example=0.1),
    "model.dropout": DROPOUT,
    "optimizer.lr": LEARNING_RATE,
    "optimizer.l2": L2,
    "optimizer.clip_norm": CLIP_NORM,
    "model.size": Range(16, whole=True, example=32),
    "data.validation": Range(0, 1, example=0.2),
    "data.split_seed": Range(0, whole=True, example=0),
}
"""By dotted key; a key that a configuration lacks is not asked for."""


METRICS = ("cross_entropy", "accuracy", "macro_f1", *(f"recall_{name}" for name in CLASSES))
"""What is measured on both splits; each class's recall on ``val`` alone."""


def check(cfg: DictConfig) -> None:
    """Raise UserError for the first value that cannot be meant."""
    _check_metric(OmegaConf.select(cfg, "objective.metric"))
    for key, wanted in RANGES.items():
        value = OmegaConf.select(cfg, key, default=_ABSENT)
        if value is not _ABSENT:
            wanted.require(key, value)


def _check_metric(metric: object) -> None:
    """Refuse a metric that this task will never measure; one without a split has its own sentence elsewhere."""
    split, slash, name = str(metric).partition("/")
    known = METRICS if split == "val" else (*METRICS[:3], "loss", "penalty")
    if slash and (split not in {"train", "val"} or name not in known):
        raise UserError(
            f"The instruments are not measured by {metric}.",
            where="Key: objective.metric",
            next_step=f"Type one of {', '.join(f'val/{one}' for one in METRICS[:3])}, or val/recall_<class>.",
        )
