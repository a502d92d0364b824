"""Fresh replicates of a trial: whether a sweep can have them, asked at submit, and the job of Hydra that one is."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict, read_write

from hpc_sweep.cluster import confirming
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omegaconf import DictConfig

    from hpc_sweep.compose.settings import Settings
    from hpc_sweep.compose.trials import Composed
    from hpc_sweep.trial import Trial

_NOT_CONFIRMED = "Type objective.confirm=0 to go without (hydra.launcher.objective.confirm=0 in an app of your own)"


def refuse_unconfirmable(job: Composed, settings: Settings, master: DictConfig, parameters: Mapping[str, Any]) -> None:
    """Refuse ``objective.confirm`` where no fresh replicate could be planned: before anything is submitted."""
    if not settings.objective.confirm:
        return
    asked, key = f"objective.confirm={settings.objective.confirm}", str(settings.objective.replicate)
    value = confirming.replicate_of(job.raw, key)
    if value is None or not confirming.is_replicate(value):
        found = f"is {value!r}, no whole number" if value is not None else "is no key of the configuration"
        raise UserError(
            f"{asked} cannot be met: the replicate '{key}' {found}.",
            next_step=f"Give the configuration a whole number '{key}' that its random streams follow from, or name "
            f"another key with objective.replicate. {_NOT_CONFIRMED}.",
        )
    if _in_batches(master):
        raise UserError(
            f"{asked} cannot be met: the sweeper asks in batches, and nobody knows which one is the last.",
            next_step=f"Use Hydra's basic sweeper in one batch. {_NOT_CONFIRMED}.",
        )
    if confirming.identity(job.raw, parameters) != job.trial.id:
        raise UserError(
            f"{asked} cannot be met: the configuration has values that JSON cannot say (an Enum, a resolver of its "
            "own), so that a fresh replicate could not be named.",
            next_step=f"Type the sweep's command with {key}=<new ones> when it is over. {_NOT_CONFIRMED}.",
        )


def on_replicate(config: DictConfig, key: str, trial: Trial) -> DictConfig:
    """Return the job of Hydra that repeats another one as a trial on a fresh replicate, with a folder of its own."""
    job = copy.deepcopy(config)
    with read_write(job), open_dict(job):
        OmegaConf.update(job, key, trial.replicate)
        job.hydra.overrides.task = list(trial.overrides)
        job.hydra.job.override_dirname = f"{job.hydra.job.override_dirname},{key}={trial.replicate}".lstrip(",")
        job.hydra.job.num = trial.number - 1
        job.hydra.job.id = str(trial.number - 1)
    return job


def _in_batches(master: DictConfig) -> bool:
    sweeper = master.hydra.sweeper
    is_basic = str(sweeper.get("_target_", "")).endswith("BasicSweeper")
    return not is_basic or sweeper.get("max_batch_size") is not None
