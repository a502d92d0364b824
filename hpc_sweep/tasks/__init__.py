"""The shipped experiments, by name.

A task is a folder with three doors: ``ranges`` and ``data``, which need no torch, and ``task``, which does. Each is
imported when it is first asked for, so that planning, status and collecting start without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from omegaconf import DictConfig

    from hpc_sweep.training.listener import Listener
    from hpc_sweep.trial import Context, Result

TASKS = ("instruments",)
"""The names that ``task=`` may have."""


def train(cfg: DictConfig, context: Context) -> Result:
    """Train the trial of a resolved, read-only configuration."""
    result: Result = _door(cfg, "task").train(cfg, context)
    return result


def train_all(
    trials: Sequence[tuple[DictConfig, Context]],
    listener: Listener,
    *,
    stack_size: int | str = "auto",
    earlier: Sequence[Mapping[str, Any]] = (),
    ids: Sequence[str] = (),
) -> None:
    """Train the trials of resolved, read-only configurations, in stacks where that is right and pays.

    The listener is told each ending once, and each choice before the first step of its stack; ``earlier`` are the
    records of the choices of earlier attempts, which are kept to; ``ids`` are the names that a plan gave the trials, by
    which choices and checkpoints know them. Trials that differ in task or device are trained
    apart. Raises StoppedError when a context asks for it, with a checkpoint of every trial that was training.
    """
    together: dict[tuple[str, str], list[int]] = {}
    for index, (cfg, _) in enumerate(trials):
        together.setdefault((cfg.task, cfg.device), []).append(index)
    for indices in together.values():
        door = _door(trials[indices[0]][0], "task")
        some, named = [trials[index] for index in indices], [ids[index] for index in indices] if ids else ()
        door.train_all(some, listener.of(indices), stack_size, earlier, named)


def warm(name: object) -> None:
    """Import all that trains a task, and compute nothing: processes that are forked from this one have it then."""
    if name in TASKS:
        import_module(f"{__name__}.{name}.task").warm()


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
