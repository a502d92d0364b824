"""Hydra's `JobReturn`s, built by the parent from plan and log."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import version
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobRuntime, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hpc_sweep.identity import restored

if TYPE_CHECKING:
    from hpc_sweep.compose.trials import Composed
    from hpc_sweep.ledger import Row


class FailedReturn(JobReturn):
    """A failed job whose value is NaN, because raising it would end the sweeper and all that comes after."""

    @property
    def return_value(self) -> Any:  # noqa: ANN401 because Hydra's property has this type
        """Not a number."""
        return float("nan")

    @return_value.setter
    def return_value(self, value: Any) -> None:  # noqa: ANN401 because Hydra's property has this type
        del value


def job_return(job: Composed, row: Row) -> JobReturn:
    """Return what Hydra's own `run_job` would have returned for a job that ran elsewhere."""
    config = copy.deepcopy(job.config)
    result = JobReturn() if row.result is not None else FailedReturn()
    result.overrides = list(job.trial.overrides)
    result.cfg = job.task
    result.task_name = JobRuntime.instance().get("name")
    result.working_dir, result.hydra_cfg = _places(config)
    result.status = JobStatus.COMPLETED if row.result is not None else JobStatus.FAILED
    result.return_value = restored(row.result["value"]) if row.result is not None else None
    return result


def failed(result: JobReturn) -> bool:
    """Tell whether a job has no outcome."""
    return result.status is not JobStatus.COMPLETED


def _places(config: DictConfig) -> tuple[str, DictConfig]:
    """Return the job's working directory and its hydra node, with the output directory that the job had."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        output = str(Path(str(config.hydra.sweep.dir)) / str(OmegaConf.select(config, "hydra.sweep.subdir")))
    finally:
        HydraConfig.instance().cfg = before
    runtime = config.hydra.runtime  # its class is read-only by itself
    with read_write(runtime), open_dict(runtime):
        config.hydra.runtime.output_dir = str(Path(output).absolute())
    node = OmegaConf.masked_copy(config, ["hydra"])
    return (output if _changes_directory(config) else os.getcwd()), node  # noqa: PTH109 because Hydra says it as text


def _changes_directory(config: DictConfig) -> bool:
    wanted = config.hydra.job.chdir
    return bool(wanted) if wanted is not None else not version.base_at_least("1.2")
