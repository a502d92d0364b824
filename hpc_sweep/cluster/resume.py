"""Going on with a sweep, wherever it ran, and ending it; all that is needed is its folder."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep import ledger, records
from hpc_sweep.cluster import confirming, local, margin, owed, slurm, states
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster.reasons import command
from hpc_sweep.cluster.submission import Submitter
from hpc_sweep.errors import CorruptRecordError, SchedulerError, UserError
from hpc_sweep.runtime.claim import alive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Intent, Submission


@dataclass(frozen=True)
class Resumed:
    """What was done, in a sentence, and whether nothing of the sweep runs or waits any more."""

    text: str
    over: bool


def resume(sweep: paths.Sweep, *, again: bool = False, allow_code_change: bool = False) -> Resumed:
    """Submit, or run here, what has no outcome and tries left.

    ``again`` has failures trained anew; ``allow_code_change`` lets shards run on whose code is not that of the plan.
    """
    sweep_id = ledger.read_identity(sweep).sweep
    template = _template(sweep, sweep_id)
    state = ledger.read_ledger(sweep)
    template = owed.noted(replace(template, round=0, again=again), sweep, state)
    if allow_code_change:
        template = replace(template, roots=())
    if template.executor == "local":
        return _here(sweep, sweep_id, template, again)
    confirming.extend(sweep, template.parameters)
    state = ledger.read_ledger(sweep, known=state)
    sent = Submitter(sweep, sweep_id, margin.measured(template, sweep, state)).submit(
        lambda _: owed.shards(ledger.read_ledger(sweep, known=state), again=again)
    )
    waiting = f" {sent.left} shards wait for room; the steward submits them." if sent.left else ""
    if sent.arrays:
        return Resumed(f"Submitted {sent.shards} shards as job {', '.join(sent.arrays)}.{waiting}", over=False)
    text = "Nothing is left to submit." + (f" Job {sent.steward} will collect." if sent.steward else "")
    return Resumed(text + waiting, over=not sent.live)


def cancel(sweep: paths.Sweep) -> str:
    """End every job of a sweep and keep new ones from starting; what was found stays, and `resume` goes on."""
    sweep_id = ledger.read_identity(sweep).sweep
    log = intents.submissions(sweep, sweep_id)
    if not log:
        return "Nothing of this sweep was ever submitted."
    # Written first: a steward that submits right now is overtaken, and a job that starts later does nothing.
    while not intents.append_cancel(sweep, sweep_id, intents.last(sweep)):
        continue
    ended = _end_processes(sweep, log)
    on_slurm = [one for one in intents.submissions(sweep, sweep_id) if one.intent.executor == "slurm"]
    if on_slurm:
        _end_jobs(sweep, on_slurm)
    return f"Cancelled. Ended {ended} processes here." if ended else "Cancelled."


def _here(sweep: paths.Sweep, sweep_id: str, template: Intent, again: bool) -> Resumed:
    state = ledger.read_ledger(sweep, over=states.over(sweep))
    shards = local.idle(sweep, owed.shards(state, again=again))
    if shards:
        local.run(sweep, sweep_id, template, shards, trials=owed.trials_owed(state, shards))
    fresh = confirming.run_here(sweep, template)
    if not (shards or fresh):
        return Resumed("Nothing is left to train.", over=True)
    told = f" Ran {fresh} trials to confirm the short list." if fresh else ""
    return Resumed(f"Ran {len(shards)} shards here.{told}", over=True)


def _template(sweep: paths.Sweep, sweep_id: str) -> Intent:
    known = {intents.ARRAY, intents.WISH}
    found = [one.intent for one in intents.submissions(sweep, sweep_id) if one.intent.role in known]
    if not found:
        raise UserError(
            "How this sweep is to be run was never written down.",
            where=f"Folder: {sweep.root}",
            next_step=f"Type the command of the sweep again, with hydra.sweep.dir={sweep.root}",
        )
    return found[-1]


def _end_jobs(sweep: paths.Sweep, log: Sequence[Submission]) -> None:
    tokens = {one.intent.token for one in log}
    try:
        # By token, because Slurm may have forgotten our jobs and given their numbers to others.
        slurm.scancel({task.job for task in slurm.queue() if task.name in tokens})
    except SchedulerError as error:
        raise SchedulerError(
            f"The sweep is cancelled, but its jobs could not be ended: {error.what}",
            next_step=f"Jobs that start will do nothing. To end those that run: {command('cancel', sweep.root)}",
        ) from None


def _end_processes(sweep: paths.Sweep, log: Sequence[Submission]) -> int:
    """Ask the supervisors of a local sweep to stop; a process is only ever named with the time when it began."""
    shards = {shard for one in log if one.intent.executor == "local" for shard in one.intent.shards}
    notes = [note for shard in shards for note in _claims(sweep, shard) if alive(note)]
    for note in notes:
        os.kill(note["pid"], signal.SIGTERM)
    return len(notes)


def _claims(sweep: paths.Sweep, shard: int) -> list[dict[str, Any]]:
    found = []
    for attempt in sweep.attempts(shard):
        try:
            found.append(records.read_json(attempt.claim))
        except (OSError, CorruptRecordError):
            continue
    return found
