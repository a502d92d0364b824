"""The long run of a sweep's winner: the frozen configuration for more epochs, resumable, beside what was promised."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from hpc_sweep import identity, ledger, records, tasks
from hpc_sweep.errors import ForeignSweepError, SweepError, UserError
from hpc_sweep.report.console import Console
from hpc_sweep.report.promise import keep_promise, write_promise
from hpc_sweep.runtime.claim import alive, notes
from hpc_sweep.runtime.worker import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hpc_sweep import paths

EPOCHS = 50


@dataclass(frozen=True)
class LongRun:
    """A production run: its folder, its configuration, and the trial whose configuration it takes further."""

    folder: Path
    cfg: DictConfig
    sweep: paths.Sweep
    trial: ledger.Row

    @property
    def result(self) -> Path:
        """Written when the run is over."""
        return self.folder / "result.json"

    def claim(self, number: int) -> Path:
        """Return who trained it, the first, second, ... time; the highest owns it."""
        return self.folder / f"claim-{number:04d}.json"

    @property
    def report(self) -> Path:
        """The promise beside the outcome, for a person."""
        return self.folder / "report.md"


def winner(sweep: paths.Sweep) -> tuple[DictConfig, ledger.Row]:
    """Return the winning configuration and the trial that it comes from.

    SweepError when there is no winner; ForeignSweepError when `optimized.yaml` is no trial of this sweep any more.
    """
    if not sweep.optimized.is_file():
        raise SweepError(
            "This sweep has no winner yet.",
            where=f"Missing: {sweep.optimized}",
            next_step=f"Type hpc-sweep collect {sweep.root} and read what it says.",
        )
    cfg = OmegaConf.load(sweep.optimized)
    if not (isinstance(cfg, DictConfig) and isinstance(cfg.get("task"), str)):
        raise UserError(
            "The winner belongs to another app, which has to train it itself.",
            where=f"File: {sweep.optimized}",
            next_step=f"Type python <app>.py --config-dir {sweep.decision} +winner=optimized, with a longer schedule.",
        )
    trial = identity.trial_id(identity.resolved(cfg), cfg.identity.exclude)
    rows = {row.trial.id: row for row in ledger.read_ledger(sweep).rows}
    if trial not in rows or rows[trial].result is None:
        raise ForeignSweepError(
            "The optimized configuration is no finished trial of this sweep: it was changed after the decision.",
            where=f"File: {sweep.optimized}",
            next_step=f"Type hpc-sweep collect {sweep.root} to write it anew; give changes as overrides instead.",
        )
    return cfg, rows[trial]


def plan(sweep: paths.Sweep, change: Callable[[DictConfig], DictConfig]) -> LongRun:
    """Take the winner, lengthen it to 50 epochs, and apply a person's changes; its folder follows from all of it."""
    cfg, row = winner(sweep)
    cfg.epochs = EPOCHS
    cfg = change(cfg)
    digest = identity.trial_id(identity.resolved(cfg), cfg.identity.exclude)
    OmegaConf.resolve(cfg)
    OmegaConf.set_readonly(cfg, value=True)
    return LongRun(sweep.production(digest), cfg, sweep, row)


def run(job: LongRun, threads: int) -> Mapping[str, Any]:
    """Train, from the newest checkpoint if there is one, and report; a run that is over is only reported again."""
    if not job.result.exists():
        job.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        own = _claim(job)
        records.replace(job.folder / "config.yaml", OmegaConf.to_yaml(job.cfg))
        keep_promise(job.folder, job.sweep, job.trial)
        records.publish(job.result, records.canonical(_train(job, threads, own)) + "\n")
    result: Mapping[str, Any] = records.read_json(job.result)
    write_promise(job.folder, job.sweep, job.trial, result)
    return result


def _claim(job: LongRun) -> int:
    """Take the run over by the next claim; refuse while a process of this machine, that has the last one, trains."""
    while True:
        last = _last_claim(job)
        note = records.read_json(job.claim(last)) if last else {}
        if note and alive(note):
            raise UserError(
                f"This production run is being trained by process {note['pid']} on {note['host']}.",
                where=f"Folder: {job.folder}",
                next_step="Wait for it, or end that process and type the same command again.",
            )
        if records.publish(job.claim(last + 1), records.canonical(notes()) + "\n"):
            return last + 1


def _last_claim(job: LongRun) -> int:
    return max((int(path.stem.partition("-")[2]) for path in job.folder.glob("claim-*.json")), default=0)


def _refuse_superseded(job: LongRun, own: int) -> None:
    if _last_claim(job) > own:
        raise SweepError(
            "Another process has taken this production run over, and goes on with it.",
            where=f"Folder: {job.folder}",
            next_step="Nothing has to be done here.",
        )


def _train(job: LongRun, threads: int, own: int) -> dict[str, Any]:
    begun = time.monotonic()
    check = partial(_refuse_superseded, job, own)
    folder = job.folder / "checkpoints"
    with Console(job.cfg.epochs, threads=threads, checkpoint_dir=folder, after_epoch=check) as context:
        result = tasks.train(job.cfg, context)
    return {**recorded(result), "seconds": round(time.monotonic() - begun, 3), "threads": threads, "error": None}
