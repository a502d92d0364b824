"""Fresh replicates of a trial: whether a sweep can have them, asked at submit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

from hpc_sweep.cluster import confirming
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from omegaconf import DictConfig

    from hpc_sweep.compose.settings import Settings
    from hpc_sweep.compose.trials import Composed

_NOT_CONFIRMED = "Type objective.confirm=0 to go without (hydra.launcher.objective.confirm=0 in an app of your own)"


def refuse_unconfirmable(
    batch: Sequence[Composed], settings: Settings, master: DictConfig, parameters: Mapping[str, Any]
) -> None:
    """Refuse ``objective.confirm`` where no fresh replicate could be planned: before anything is submitted."""
    if not settings.objective.confirm:
        return
    asked, key = f"objective.confirm={settings.objective.confirm}", str(settings.objective.replicate)
    if _in_batches(master):
        raise UserError(
            f"{asked} cannot be met: the sweeper asks in batches, and nobody knows which one is the last.",
            next_step=f"Use Hydra's basic sweeper in one batch. {_NOT_CONFIRMED}.",
        )
    with _as_elsewhere():
        for job in batch:
            _refuse_job(job, asked, key, parameters)


def _refuse_job(job: Composed, asked: str, key: str, parameters: Mapping[str, Any]) -> None:
    """Refuse a job whose fresh replicates the steward could not name, or could not tell from the job itself."""
    value = confirming.replicate_of(job.raw, key)
    if not confirming.is_replicate(value):
        found = f"is {value!r}, no whole number" if value is not None else "is no key of the configuration"
        raise UserError(
            f"{asked} cannot be met: the replicate '{key}' {found}.",
            where=f"Trial {job.trial.number}",
            next_step=f"Give the configuration a whole number '{key}' that its random streams follow from, or name "
            f"another key with objective.replicate. {_NOT_CONFIRMED}.",
        )
    own = confirming.identity(job.raw, parameters)
    if own != job.trial.id:
        raise UserError(
            f"{asked} cannot be met: the configuration has values that JSON cannot say (an Enum, a resolver of its "
            "own), so that a fresh replicate could not be named.",
            where=f"Trial {job.trial.number}",
            next_step=f"Type the sweep's command with {key}=<new ones> when it is over. {_NOT_CONFIRMED}.",
        )
    if confirming.identity(confirming.repeat(job.raw, key, value + 1), parameters) == own:
        raise UserError(
            f"{asked} cannot be met: identity.exclude says that '{key}' cannot change the result, so that a fresh "
            "replicate would be the same trial.",
            next_step=f"Take '{key}' out of identity.exclude, or name another key with objective.replicate. "
            f"{_NOT_CONFIRMED}.",
        )


@contextmanager
def _as_elsewhere() -> Iterator[None]:
    """Take the app's own resolvers away for a while: whoever plans fresh replicates later does not have them."""
    here = BaseContainer._resolvers  # noqa: SLF001 because OmegaConf has no other way to list them
    OmegaConf.clear_resolvers()
    try:
        yield
    finally:
        BaseContainer._resolvers = here  # noqa: SLF001 because OmegaConf has no other way to restore them


def _in_batches(master: DictConfig) -> bool:
    sweeper = master.hydra.sweeper
    is_basic = str(sweeper.get("_target_", "")).endswith("BasicSweeper")
    return not is_basic or sweeper.get("max_batch_size") is not None
