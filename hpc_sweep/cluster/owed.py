"""Which shards must run again: decided from the state of a sweep, without asking anybody."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from hpc_sweep.cluster.intent import ARRAY
from hpc_sweep.runtime.checkpoints import reached
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Intent, Submission
    from hpc_sweep.ledger import Ledger, Row

_OPEN = frozenset({Status.PLANNED, Status.RUNNING, Status.LOST, Status.HELD})


def shards(ledger: Ledger, *, again: bool = False, among: Collection[int] | None = None) -> list[int]:
    """Return the shards with a trial that has no outcome and tries left; `again` counts every failure as one."""
    owed = {row.trial.shard for row in ledger.rows if _is_owed(row, again)}
    return sorted(owed if among is None else owed & set(among))


def noted(intent: Intent, sweep: paths.Sweep, ledger: Ledger) -> Intent:
    """Return an intent that says how far the sweep is now, so that a steward can tell whether it got anywhere."""
    published, saved = progress(sweep, ledger)
    return replace(intent, published=published, saved=saved)


def progress(sweep: paths.Sweep, ledger: Ledger) -> tuple[int, int]:
    """Return how many trials have an outcome or a failure, and how many epochs the checkpoints of the others hold.

    The second grows while the first stays: so one of two such pairs is the greater as long as a sweep gets anywhere.
    """
    unended = {row.trial.id: row.trial.shard for row in ledger.rows if row.result is None and row.failure is None}
    saved: dict[str, int] = defaultdict(int)
    for attempt in (attempt for shard in sorted(set(unended.values())) for attempt in sweep.attempts(shard)):
        for trial, epoch in reached(attempt).items():
            saved[trial] = max(saved[trial], epoch)
    return len(ledger.rows) - len(unended), sum(saved[trial] for trial in unended)


def after_round(ledger: Ledger, log: Sequence[Submission], got: tuple[int, int]) -> list[int]:
    """Return what a steward submits: shards that nobody submitted yet, and the others when there was progress.

    Progress is that the sweep has `got` further than where it was when the last array was submitted: without that the
    next round would end as the last one did, and a person has to look.
    """
    arrays = [one for one in log if one.valid and one.intent.role == ARRAY]
    sent = {shard for one in arrays for shard in one.intent.shards}
    further = not arrays or got > max((one.intent.published, one.intent.saved) for one in arrays)
    return [shard for shard in shards(ledger) if further or shard not in sent]


def trials_owed(ledger: Ledger, shards: Iterable[int]) -> int:
    """Return how many trials of some shards have no outcome."""
    wanted = set(shards)
    return sum(row.result is None for row in ledger.rows if row.trial.shard in wanted)


def _is_owed(row: Row, again: bool) -> bool:
    if row.status is Status.FAILED:
        error = (row.failure or {}).get("error") or {}
        return again or bool(error.get("retryable", False))
    return row.status in _OPEN
