"""A batch of Hydra's jobs, from overrides to `JobReturn`s: compose, own, plan, submit, and read back."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import configure_log, setup_globals
from omegaconf import OmegaConf
from rich.progress import track

from hpc_sweep import ledger, tasks
from hpc_sweep.cluster import confirming, local, owed, script, states, submission
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster.intent import Intent
from hpc_sweep.cluster.reasons import command
from hpc_sweep.cluster.submission import Submitter
from hpc_sweep.compose import form, fresh, ownership, returns, snapshot
from hpc_sweep.compose.exits import note_failure
from hpc_sweep.compose.settings import Settings, shipped
from hpc_sweep.compose.trials import Composed, compose_job, fixed_keys, identify, with_changes, with_levels
from hpc_sweep.errors import UserError
from hpc_sweep.identity import plain
from hpc_sweep.plan import append_part, partition, read_plan
from hpc_sweep.report.collect import collect
from hpc_sweep.report.summary import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext
    from omegaconf import DictConfig

    from hpc_sweep import paths
    from hpc_sweep.cluster.submission import Sent
    from hpc_sweep.compose.snapshot import Root

log = logging.getLogger(__name__)

MANY = 40
"""From this number of trials on, composing takes longer than two seconds and is worth a progress bar."""


@dataclass
class Session:
    """What one multirun knows from its launcher's `setup` on; later batches of a sweeper find what earlier ones did."""

    context: HydraContext
    task: Callable[..., Any]
    config: DictConfig
    parameters: Mapping[str, Any]
    sweep: paths.Sweep
    sweep_id: str = ""
    roots: tuple[Root, ...] = ()
    python_path: tuple[str, ...] = ()

    @property
    def executor(self) -> str:
        """Where shards run: ``local`` or ``slurm``."""
        return str(self.parameters["executor"])


def launch(session: Session, overrides: Sequence[Sequence[str]], first_job: int) -> list[JobReturn]:
    """Plan and run one batch; return what its jobs gave, or nothing when they were left to Slurm."""
    refuse_detached_sweeper(session.config, session.parameters)
    setup_globals()
    configure_log(session.config.hydra.hydra_logging, session.config.hydra.verbose)
    batch = _compose(session, overrides, first_job)
    settings = Settings.read(batch[0].task, session.parameters)
    fresh.refuse_unconfirmable(batch, settings, session.config, session.parameters)
    if session.parameters.get("dry_run"):
        print(_preview(session, batch))  # noqa: T201 because the preview is what was asked for
        return []
    identity = _taken(session, batch, settings)
    _plan(session, batch, settings, identity)
    if not _execute(session, batch):
        return []
    return _read_back(session, batch)


def _compose(session: Session, overrides: Sequence[Sequence[str]], first_job: int) -> list[Composed]:
    """Compose every job; they are numbered from 1 in Hydra's product order."""
    swept = ownership.swept_names(session.sweep) if session.parameters.get("existing") == "extend" else []
    # What a sweep varies stays varied when it is extended by one value of it.
    fixed = fixed_keys(session.config) - set(swept)
    jobs = list(enumerate(overrides, start=first_job))
    described = track(jobs, "composing", transient=True, disable=len(jobs) < MANY)
    configs = [(job, compose_job(session.context, session.config, given, job)) for job, given in described]
    settings = Settings.read(configs[0][1], session.parameters)
    return [with_levels(identify(config, fixed, settings, job + 1), swept, settings) for job, config in configs]


def _taken(session: Session, batch: Sequence[Composed], settings: Settings) -> ledger.Identity:
    """Take the folder with the first batch, check the data, and return the sweep's identity."""
    if session.sweep_id:
        return ledger.read_identity(session.sweep)
    session.roots = tuple(snapshot.roots(_code_root(session), session.sweep))
    identity = ownership.own(session.sweep, batch, settings, session.roots, _prepare(batch))
    session.python_path = snapshot.freeze(session.sweep, session.roots)
    session.sweep_id = identity.sweep
    return identity


def _prepare(batch: Sequence[Composed]) -> str:
    """Check our own trials and make their data ready, before anything is submitted; return the data's fingerprint."""
    if not shipped(batch[0].task):
        return ""
    for job in batch:
        tasks.check(job.task)
    nodes = {OmegaConf.to_yaml(job.task.data, resolve=False): job.task for job in batch}
    for cfg in nodes.values():
        for sentence in tasks.prepare(cfg):
            log.warning("%s", sentence)
    return "+".join(sorted({tasks.fingerprint(cfg) for cfg in nodes.values()}))


def _plan(session: Session, batch: Sequence[Composed], settings: Settings, identity: ledger.Identity) -> None:
    """Freeze the trials of a batch that are not planned yet as a part of the plan."""
    sweep, part = session.sweep, None
    while part is None:  # somebody else may extend the same sweep right now
        plan = read_plan(sweep.plan, sweep=identity.sweep)
        known = {trial.id for trial in plan.trials}
        new = list({job.trial.id: job for job in batch if job.trial.id not in known}.values())
        if not new:
            log.info("Every trial of this batch is planned already; nothing is trained twice.")
            return
        new = [replace(job, trial=replace(job.trial, number=len(known) + n)) for n, job in enumerate(new, start=1)]
        is_ours = shipped(new[0].task)
        sha256 = "" if is_ours else form.carry(sweep, new, session.task, session.context, settings)
        base = dict(new[0].raw)
        part = append_part(
            sweep.plan,
            with_changes(new, base),
            _sizes(session, len(new)),
            sweep=identity.sweep,
            base=base,
            form=form.REBUILT if is_ours else form.CARRIED,
            form_sha256=sha256,
            first_shard=max(plan.shards, default=0) + 1,
            at=len(plan.parts) + 1,
        )


def _sizes(session: Session, trials: int) -> list[int]:
    """Return the sizes of the shards: as asked, else one for each core here, and a few trials for each task there."""
    shards, each = session.parameters.get("shards"), session.parameters.get("trials_per_shard")
    if shards is None and each is None and session.executor == "local":
        shards = _at_once(session)
    return partition(trials, shards=shards, trials_per_shard=each)


def _at_once(session: Session) -> int:
    wanted = session.parameters.get("n_jobs")
    if wanted is not None and wanted < 1:
        raise UserError(f"hydra.launcher.n_jobs={wanted} trains nothing.", next_step="Type hydra.launcher.n_jobs=1")
    return int(wanted or local.cores())


def _execute(session: Session, batch: Sequence[Composed]) -> bool:
    """Run what the batch's trials still owe; return False when it was submitted and left alone.

    A sweep of which nothing is in the queue is not left alone: there may be no steward that would collect.
    """
    sweep, wanted = session.sweep, {job.trial.id for job in batch}
    plan = read_plan(sweep.plan, sweep=session.sweep_id)
    among = {trial.shard for trial in plan.trials if trial.id in wanted}
    log.info("Trials: %d, shards: %d, folder: %s", len(wanted), len(among), sweep.root)
    state = ledger.read_ledger(sweep)
    template = owed.noted(_template(session), sweep, state)
    intents.append_wish(sweep, session.sweep_id, template)
    if session.executor == "local":
        shards = local.idle(sweep, owed.shards(state, among=among))
        if shards:
            local.run(sweep, session.sweep_id, template, shards, trials=owed.trials_owed(state, shards))
        confirming.run_here(sweep, template)
        return True
    among |= confirming.shards(sweep, template.parameters)
    sent = Submitter(sweep, session.sweep_id, template).submit(
        lambda _: owed.shards(ledger.read_ledger(sweep, known=state), among=among)
    )
    _tell(sent, sweep)
    if session.parameters.get("detach") and sent.live:
        log.info("See how it goes: %s", command("status", sweep.root))
        return False
    submission.wait(sweep, session.sweep_id, session.parameters.get("poll_seconds") or submission.POLL_SECONDS)
    return True


def _template(session: Session) -> Intent:
    """Return the intent after which all intents of this session are made."""
    return Intent(
        token="",
        executor=session.executor,
        shards=(),
        threads=session.parameters.get("cpus_per_task") or 1,
        folder=str(Path.cwd()),
        python_path=session.python_path,
        parameters=plain(dict(session.parameters)),
        roots=tuple(vars(root) for root in session.roots),
    )


def _tell(sent: Sent, sweep: paths.Sweep) -> None:
    if sent.arrays:
        log.info(
            "Submitted %d shards as job %s; job %s goes on after it.", sent.shards, ", ".join(sent.arrays), sent.steward
        )
    else:
        log.info("Nothing is left to submit.")
    if sent.left:
        log.info(
            "%d shards wait: Slurm takes no more jobs now. The steward submits them, as %s does.",
            sent.left,
            command("resume", sweep.root),
        )


def _read_back(session: Session, batch: Sequence[Composed]) -> list[JobReturn]:
    """Collect, tell the result, and build what Hydra's sweeper expects from the plan and the logs."""
    over = states.over(session.sweep)
    state = ledger.read_ledger(session.sweep, over=over)
    decision = collect(session.sweep, over=over)
    log.info("%s", summary(session.sweep, decision))
    rows = {row.trial.id: row for row in state.rows}
    given = [returns.job_return(job, rows[job.trial.id]) for job in batch]
    if any(map(returns.failed, given)):
        note_failure(session.sweep_id)
    return given


def _preview(session: Session, batch: Sequence[Composed]) -> str:
    sizes = _sizes(session, len(batch))
    lines = [f"Run {job.trial.number}: {' '.join(job.trial.overrides)}" for job in batch]
    lines += [f"{len(batch)} trials, in shards of {' '.join(map(str, sizes))}; nothing was written."]
    if session.executor == "slurm":
        lines += ["", script.array(session.sweep, session.parameters, "hpc-sweep-preview", 1, len(sizes))]
    return "\n".join(lines)


def _code_root(session: Session) -> Path:
    """Return where the app's code lies: its script's folder, its first configuration source on disk, or here."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script and not snapshot.in_environment(Path(script).resolve()):
        return Path(script).resolve().parent
    sources = session.config.hydra.runtime.config_sources
    found = [source.path for source in sources if source.schema == "file" and Path(source.path).is_dir()]
    return Path(found[0] if found else session.config.hydra.runtime.cwd)


def refuse_detached_sweeper(config: DictConfig, parameters: Mapping[str, Any]) -> None:
    """Refuse a launcher that returns nothing for a sweeper that learns from results."""
    target = config.hydra.sweeper.get("_target_", "")
    if parameters.get("detach") and not target.endswith("BasicSweeper"):
        raise UserError(
            f"{target.rpartition('.')[2]} reads results, and a detached launcher returns before there are any.",
            next_step="Type hydra.launcher.detach=false, which waits for the jobs.",
        )
