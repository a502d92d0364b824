"""The job of Hydra that repeats another one on a fresh replicate. Shards read this: it imports nothing heavy."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict, read_write

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from hpc_sweep.trial import Trial

FOLDER = "fresh"
"""Where in a sweep's folder the jobs of fresh replicates have theirs."""


def on_replicate(config: DictConfig, key: str, trial: Trial) -> DictConfig:
    """Return the job of Hydra that repeats another one as a trial on a fresh replicate, with a folder of its own."""
    job = copy.deepcopy(config)
    with read_write(job), open_dict(job):
        OmegaConf.update(job, key, trial.replicate)
        job.hydra.overrides.task = list(trial.overrides)
        job.hydra.job.override_dirname = f"{job.hydra.job.override_dirname},{key}={trial.replicate}".lstrip(",")
        job.hydra.job.num = trial.number - 1
        job.hydra.job.id = str(trial.number - 1)
        # A job of the sweep may have this number: Hydra counts what is asked for, and a plan holds no trial twice.
        job.hydra.sweep.subdir = f"{FOLDER}/{_unresolved(job.hydra.sweep)['subdir']}"
    return job


def _unresolved(node: DictConfig) -> dict[str, Any]:
    values: Any = OmegaConf.to_container(node, resolve=False)
    return dict(values)
