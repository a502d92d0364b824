"""Going on with a sweep, wherever it ran; all that is needed is its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from hpc_sweep import ledger
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster import local, margin, owed, states
from hpc_sweep.cluster.submission import Submitter
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Intent
    from hpc_sweep.plan import Part


class Confirming(Protocol):
    """What `resume` asks of `hpc_sweep.cluster.confirming`, which stands on the whole analysis."""

    def extend(self, sweep: paths.Sweep, parameters: Mapping[str, Any]) -> Part | None:
        """Plan the fresh replicates that are due."""

    def run_here(self, sweep: paths.Sweep, template: Intent) -> int:
        """Run on this machine what fresh replicates are due or left."""


@dataclass(frozen=True)
class Resumed:
    """What was done, in a sentence, and whether nothing of the sweep runs or waits any more."""

    text: str
    over: bool


def resume(
    sweep: paths.Sweep, confirming: Callable[[], Confirming], *, again: bool = False, allow_code_change: bool = False
) -> Resumed:
    """Submit, or run here, what has no outcome and tries left.

    ``confirming`` is called only where the sweep promises fresh replicates, because the others need no analysis here.
    ``again`` has failures trained anew; ``allow_code_change`` lets shards run on whose code is not that of the plan.
    """
    sweep_id = ledger.read_identity(sweep).sweep
    template = _template(sweep, sweep_id)
    state = ledger.read_ledger(sweep)
    template = owed.noted(replace(template, round=0, again=again), sweep, state)
    if allow_code_change:
        template = replace(template, roots=())
    if template.executor == "local":
        return _here(sweep, confirming, template, again)
    if state.identity.objective.confirm:
        confirming().extend(sweep, template.parameters)
    state = ledger.read_ledger(sweep, known=state)
    sent = Submitter(sweep, sweep_id, margin.measured(template, sweep, state)).submit(
        lambda _: owed.shards(ledger.read_ledger(sweep, known=state), again=again)
    )
    waiting = f" {sent.left} shards wait for room; the steward submits them." if sent.left else ""
    if sent.arrays:
        return Resumed(f"Submitted {sent.shards} shards as job {', '.join(sent.arrays)}.{waiting}", over=False)
    text = "Nothing is left to submit." + (f" Job {sent.steward} will collect." if sent.steward else "")
    return Resumed(text + waiting, over=not sent.live)


def _here(sweep: paths.Sweep, confirming: Callable[[], Confirming], template: Intent, again: bool) -> Resumed:
    state = ledger.read_ledger(sweep, over=states.over(sweep))
    shards = local.idle(sweep, owed.shards(state, again=again))
    if shards:
        local.run(sweep, state.identity.sweep, template, shards, trials=owed.trials_owed(state, shards))
    fresh = confirming().run_here(sweep, template) if state.identity.objective.confirm else 0
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
