"""Which shards must run again: decided from the state of a sweep, without asking anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpc_sweep.cluster.intent import ARRAY
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from hpc_sweep.cluster.intent import Submission
    from hpc_sweep.ledger import Ledger, Row

_OPEN = frozenset({Status.PLANNED, Status.RUNNING, Status.LOST, Status.HELD})


def shards(ledger: Ledger, *, again: bool = False, among: Collection[int] | None = None) -> list[int]:
    """Return the shards with a trial that has no outcome and tries left; `again` counts every failure as one."""
    owed = {row.trial.shard for row in ledger.rows if _is_owed(row, again)}
    return sorted(owed if among is None else owed & set(among))


def published(ledger: Ledger) -> int:
    """Return how many trials have an outcome or a failure: what grows while a sweep gets anywhere."""
    return sum(row.result is not None or row.failure is not None for row in ledger.rows)


def after_round(ledger: Ledger, log: Sequence[Submission]) -> list[int]:
    """Return what a steward submits: shards that nobody submitted yet, and the others when there was progress.

    Progress is that something was published since the last array was submitted: without it the next round would end as
    the last one did, and a person has to look.
    """
    arrays = [one for one in log if one.valid and one.intent.role == ARRAY]
    sent = {shard for one in arrays for shard in one.intent.shards}
    progress = not arrays or published(ledger) > max(one.intent.published for one in arrays)
    return [shard for shard in shards(ledger) if progress or shard not in sent]


def trials_owed(ledger: Ledger, shards: Iterable[int]) -> int:
    """Return how many trials of some shards have no outcome."""
    wanted = set(shards)
    return sum(row.result is None for row in ledger.rows if row.trial.shard in wanted)


def _is_owed(row: Row, again: bool) -> bool:
    if row.status is Status.FAILED:
        error = (row.failure or {}).get("error") or {}
        return again or bool(error.get("retryable", False))
    return row.status in _OPEN
