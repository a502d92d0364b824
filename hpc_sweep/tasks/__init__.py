"""The shipped experiments, by name.

A task is a folder with three doors: ``ranges`` and ``data``, which need no torch, and ``task``, which does. Each is
imported when it is first asked for, so that planning, status and collecting start without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from types import ModuleType

    from omegaconf import DictConfig

    from hpc_sweep.trial import Context, Result

TASKS = ("instruments",)
"""The names that ``task=`` may have."""


def train(cfg: DictConfig, context: Context) -> Result:
    """Train the trial of a resolved, read-only configuration."""
    result: Result = _door(cfg, "task").train(cfg, context)
    return result


def check(cfg: DictConfig) -> None:
    """Raise UserError for a value that a task cannot train with, before anything is submitted."""
    _door(cfg, "ranges").check(cfg)


def prepare(cfg: DictConfig) -> tuple[str, ...]:
    """Make the data of a configuration ready, so that its shards find them cached.

    Returns sentences about the data that a person should see.
    """
    sentences: tuple[str, ...] = _door(cfg, "data").prepare(cfg.data)
    return sentences


def fingerprint(cfg: DictConfig) -> str:
    """Return the digest of the data of a configuration."""
    return str(_door(cfg, "data").fingerprint(cfg.data))


def _door(cfg: DictConfig, name: str) -> ModuleType:
    if cfg.task not in TASKS:
        raise UserError(
            f"There is no task '{cfg.task}'.",
            where="Key: task",
            next_step=f"Type one of {', '.join(f'task={task}' for task in TASKS)}.",
        )
    return import_module(f"{__name__}.{cfg.task}.{name}")
