"""A trial as the trainer sees it: its configuration, whom it tells, and what of it others may share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.identity import resolved, without
from hpc_sweep.records import canonical, digest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from omegaconf import DictConfig

    from hpc_sweep.training.task import Recipe, Task
    from hpc_sweep.trial import Context

VALUE_KEYS = ("seed", "epochs")
"""In which the trials of a stack may always differ; a task names the others."""


@dataclass(frozen=True)
class Member:
    """One trial of a stack; ``inputs`` and ``loss`` are the parts of the configuration that the task reads there.

    ``index`` is the caller's number of the trial, ``identity`` the id that a plan gave it; without one it is derived.
    """

    cfg: DictConfig
    context: Context
    recipe: Recipe
    inputs: DictConfig
    loss: DictConfig
    index: int = 0
    identity: str = ""

    @classmethod
    def of(cls, task: Task, cfg: DictConfig, context: Context, index: int = 0, identity: str = "") -> Member:
        """Return the member for a configuration; UserError when it trains nothing."""
        for key in ("epochs", "batch_size"):
            if cfg[key] < 1:
                what = f"{key}={cfg[key]} trains nothing."
                raise UserError(what, where=f"Key: {key}", next_step=f"Type {key}=1 or more")
        inputs, loss = _part(cfg, task.inputs_read), _part(cfg, task.loss_read)
        return cls(cfg, context, task.recipe(cfg), inputs, loss, index, identity)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """All that can change the result, as JSON."""
        return without(resolved(self.cfg), OmegaConf.select(self.cfg, "identity.exclude", default=()))

    @cached_property
    def digest(self) -> str:
        """The identity of the trial: the id that a plan gives it.

        A plan's own comes first: it was made where the values that only a running job knows were still text.
        """
        return self.identity or digest(self.configuration)

    @cached_property
    def inputs_text(self) -> str:
        """What decides the inputs beside items and random numbers."""
        return canonical(OmegaConf.to_container(self.inputs, resolve=True))

    @cached_property
    def loss_text(self) -> str:
        """What decides the loss beside outputs and labels."""
        return canonical(OmegaConf.to_container(self.loss, resolve=True))

    def shape_text(self, value_keys: Iterable[str]) -> str:
        """Return all of the configuration in which the trials of a stack have to agree."""
        return canonical(without(self.configuration, (*VALUE_KEYS, *value_keys)))


def _part(cfg: DictConfig, keys: Iterable[str]) -> DictConfig:
    part = OmegaConf.masked_copy(cfg, [key for key in keys if key in cfg])
    OmegaConf.resolve(part)
    OmegaConf.set_readonly(part, value=True)
    return part
