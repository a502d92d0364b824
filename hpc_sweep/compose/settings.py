"""What a sweep declares about itself: by its task configuration when it ships with us, by the launcher otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.identity import VOLATILE
from hpc_sweep.objective import Objective
from hpc_sweep.training.size import AUTO, checked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omegaconf import DictConfig

EXISTING = ("extend", "refuse", "anew")


@dataclass(frozen=True)
class Settings:
    """The objective, what belongs to a trial's identity, and what to do with a folder that is already a sweep."""

    objective: Objective
    exclude: tuple[str, ...]
    volatile: tuple[str, ...]
    existing: str
    allow_code_change: bool

    @classmethod
    def read(cls, cfg: DictConfig, launcher: Mapping[str, Any]) -> Settings:
        """Read a task configuration's own ``objective`` and ``identity`` nodes, else the launcher's.

        UserError for what cannot be meant, a stack of foreign or isolated trials among it, before anything is written.
        """
        _refuse_stacks(cfg, checked(launcher.get("stack_size", AUTO)), isolate=bool(launcher.get("isolate", False)))
        _refuse_retries(launcher.get("retries", 0))
        identity = _node(cfg, launcher, "identity")
        existing = launcher.get("existing", "extend")
        if existing not in EXISTING:
            raise UserError(
                f"hydra.launcher.existing={existing} is no way to treat an existing sweep.",
                next_step=f"Type one of {', '.join(EXISTING)}.",
            )
        return cls(
            objective=Objective.parse(_node(cfg, launcher, "objective")),
            exclude=tuple(identity.get("exclude") or ()),
            volatile=(*VOLATILE, *(identity.get("volatile") or ())),
            existing=existing,
            allow_code_change=bool(launcher.get("allow_code_change", False)),
        )


def _refuse_stacks(cfg: DictConfig, size: int | str, *, isolate: bool) -> None:
    if size in (AUTO, 1):
        return
    if isolate:
        raise UserError(
            f"hydra.launcher.isolate=true gives each trial its own process, and stack_size={size} asks for stacks.",
            next_step="Leave one of the two out.",
        )
    if not shipped(cfg):
        raise UserError(
            f"hydra.launcher.stack_size={size} asks for stacks, and an app's own task function trains one trial.",
            next_step="Leave it out: the trials of a shard share one warm process all the same.",
        )


def _refuse_retries(retries: int) -> None:
    if retries < 0:
        raise UserError(
            f"hydra.launcher.retries={retries} is no number of times.",
            next_step="Type hydra.launcher.retries=0 to try no trial again, or 2 as by default.",
        )


def _node(cfg: DictConfig, launcher: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Merge the launcher's node with the configuration's own, which wins field by field where it says something."""
    given = {key: value for key, value in (launcher.get(name) or {}).items() if value is not None}
    if shipped(cfg) and OmegaConf.is_dict(cfg.get(name)):
        own: Any = OmegaConf.to_container(cfg[name], resolve=True)
        return {**given, **own}
    return given


def shipped(cfg: DictConfig) -> bool:
    """Tell whether a task configuration is one of this project's own, which name their task."""
    return isinstance(cfg.get("task"), str) and OmegaConf.is_dict(cfg.get("identity"))
