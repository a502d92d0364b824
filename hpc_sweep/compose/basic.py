"""Recording a sweep that Hydra's own launcher runs: each trial is a plan part and an entry of shard 0001."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobStatus

from hpc_sweep import paths, records, tasks
from hpc_sweep.compose import form, ownership, snapshot
from hpc_sweep.compose.exits import note_failure
from hpc_sweep.compose.here import RESULT
from hpc_sweep.compose.settings import Settings, shipped
from hpc_sweep.compose.trials import fixed_keys, identify, task_of, with_changes
from hpc_sweep.plan import append_part, read_plan
from hpc_sweep.report.collect import collect
from hpc_sweep.report.summary import summary
from hpc_sweep.runtime.failures import of_exception

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

    from hpc_sweep.compose.trials import Composed
    from hpc_sweep.plan import Part

log = logging.getLogger(__name__)


class Recording:
    """The records of one multirun under Hydra's basic launcher; resume and fencing are not offered here."""

    def __init__(self, master: DictConfig) -> None:
        self._fixed = fixed_keys(master)
        self._sweep = paths.Sweep(Path(str(master.hydra.sweep.dir)).resolve())
        self._id = ""

    def record(self, config: DictConfig, returned: JobReturn) -> None:
        """Append a trial and how it ended."""
        settings = Settings.read(task_of(config), {})
        job = identify(config, self._fixed, settings, 0)
        if not self._id:
            self._id = self._taken(job, settings)
        part = self._part(job)
        line = {"trial": job.trial.id, "attempt": "0001/0", **self._fields(config, returned)}
        shard = self._sweep.shard(1)
        told = {"number": part.number, "sha256": part.sha256}
        records.append(shard, records.Kind.RESULT, {"results": [line]}, sweep=self._id, attempt="0001/0", part=told)

    def collect(self) -> None:
        """Merge, decide and report."""
        if self._id:
            decision = collect(self._sweep, over=[1])
            log.info("%s", summary(self._sweep, decision))
            if decision.objective.get("confirm"):
                log.warning(
                    "hydra/launcher=basic does not confirm. Type the same command with %s",
                    f"hydra/launcher=sharded_local hydra.sweep.dir={self._sweep.root}",
                )

    def _taken(self, job: Composed, settings: Settings) -> str:
        roots = snapshot.roots(Path(job.config.hydra.runtime.cwd), self._sweep)
        data = tasks.fingerprint(job.task) if shipped(job.task) else ""
        return ownership.own(self._sweep, [job], settings, roots, data).sweep

    def _part(self, job: Composed) -> Part:
        """Return the plan part of a trial, planned now if it was not."""
        plan = read_plan(self._sweep.plan, sweep=self._id)
        known = {trial.id: trial for trial in plan.trials}
        if job.trial.id in known:
            return plan.part_of(known[job.trial.id])
        trials = [replace(trial, number=len(known) + 1) for trial in with_changes([job], job.raw)]
        part = append_part(self._sweep.plan, trials, [1], sweep=self._id, base=job.raw, form=form.REBUILT)
        assert part is not None  # which number it gets was not asked for
        return part

    def _fields(self, config: DictConfig, returned: JobReturn) -> dict[str, Any]:
        if returned.status is not JobStatus.COMPLETED:
            note_failure(self._id)
            error = returned._return_value  # noqa: SLF001 because the property would raise it
            return of_exception(error).fields(tries=1, retries=0)
        fields: dict[str, Any] = records.read_json(Path(config.hydra.runtime.output_dir) / RESULT)
        return fields
