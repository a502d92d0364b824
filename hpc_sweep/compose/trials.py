"""From the overrides of Hydra's jobs to trials: composed, identified, and told apart by what was swept."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hpc_sweep.errors import UserError
from hpc_sweep.identity import plain, raw, resolved, trial_id
from hpc_sweep.plan import differences
from hpc_sweep.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hydra.core.override_parser.types import Override
    from hydra.types import HydraContext

    from hpc_sweep.compose.settings import Settings


@dataclass(frozen=True)
class Composed:
    """One job of Hydra, composed: its whole configuration with the hydra node, and the trial that it is."""

    config: DictConfig
    raw: Mapping[str, Any]
    resolved: Mapping[str, Any]
    trial: Trial

    @property
    def task(self) -> DictConfig:
        """The configuration that the task function gets."""
        return task_of(self.config)


def task_of(config: DictConfig) -> DictConfig:
    """Return a copy of a composed configuration without its hydra node."""
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def compose_job(context: HydraContext, master: DictConfig, overrides: Sequence[str], job: int) -> DictConfig:
    """Compose one job as Hydra's own launchers do, and number it."""
    config = context.config_loader.load_sweep_config(master, list(overrides))
    with read_write(config), open_dict(config):
        config.hydra.job.id = str(job)
        config.hydra.job.num = job
        # The launcher may have moved the sweep aside from a default name that was taken.
        config.hydra.sweep.dir = master.hydra.sweep.dir
    return config


def identify(config: DictConfig, fixed: Collection[str], settings: Settings, number: int) -> Composed:
    """Make the trial of a composed job; its changes are filled in when the plan part has a base."""
    task = task_of(config)
    overrides = _typed(config)
    swept = [override for override in parse(overrides) if override.key_or_group not in fixed]
    identity = resolved(task, settings.volatile)
    params = {override.key_or_group: _level(override, config, identity) for override in swept}
    _refuse_excluded(params, settings.exclude)
    replicate = params.pop(settings.objective.replicate, None) if settings.objective.replicate else None
    trial = Trial(number, trial_id(identity, settings.exclude), overrides, params, replicate, ())
    return Composed(config, raw(task), identity, trial)


def with_levels(composed: Composed, names: Sequence[str], settings: Settings) -> Composed:
    """Return a job with a level for every name, in their order, also where its overrides do not say it."""
    trial = composed.trial
    levels = {name: level(name, composed.config, composed.resolved) for name in names} | dict(trial.params)
    replicate, wanted = trial.replicate, settings.objective.replicate
    if names and wanted and replicate is None:
        replicate = level(wanted, composed.config, composed.resolved)
    return replace(composed, trial=replace(trial, params=levels, replicate=replicate))


def fixed_keys(master: DictConfig) -> set[str]:
    """Return the keys that the command line gave one value for the whole sweep."""
    return {override.key_or_group for override in parse(_typed(master)) if not override.is_sweep_override()}


def _typed(config: DictConfig) -> tuple[str, ...]:
    """Return the overrides of a configuration as they were typed, with the interpolations in their values."""
    typed: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    return tuple(typed)


def parse(overrides: Sequence[str]) -> list[Override]:
    """Parse override texts with Hydra's own grammar."""
    return OverridesParser.create().parse_overrides(list(overrides))


def with_changes(composed: Sequence[Composed], base: Mapping[str, Any]) -> list[Trial]:
    """Return the trials as changes from a common base."""
    return [replace(job.trial, changes=tuple(differences(dict(base), dict(job.raw)))) for job in composed]


def _level(override: Override, config: DictConfig, identity: Mapping[str, Any]) -> Any:  # noqa: ANN401 because a level is any JSON
    """Return the value that an override gave: a config group's choice, or the value with its type."""
    found = level(override.key_or_group, config, identity)
    return plain(override.value()) if found is None and not override.is_delete() else found


def level(name: str, config: DictConfig, identity: Mapping[str, Any]) -> Any:  # noqa: ANN401 because a level is any JSON
    """Return what a configuration says of a key: a group's choice, or the value with its type; None if nothing."""
    choices = config.hydra.runtime.choices
    if name in choices:
        return choices[name]
    node: Any = identity
    for key in name.split("."):
        if not isinstance(node, dict) or key not in node:
            return None
        node = node[key]
    return node


def _refuse_excluded(params: Mapping[str, Any], exclude: Collection[str]) -> None:
    for name in params:
        if any(name == key or name.startswith(f"{key}.") for key in exclude):
            raise UserError(
                f"'{name}' is swept, but identity.exclude says that it cannot change the result.",
                next_step=f"Take '{name}' out of the sweep, or out of identity.exclude.",
            )
