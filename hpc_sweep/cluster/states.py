"""Where each shard stands: what the scheduler and the claiming processes say, to explain what the logs leave open."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hpc_sweep import ledger, records
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster import reasons, slurm
from hpc_sweep.cluster.reasons import STEWARD
from hpc_sweep.errors import CorruptRecordError, SchedulerError
from hpc_sweep.plan import read_plan
from hpc_sweep.runtime.claim import alive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Submission
    from hpc_sweep.cluster.slurm import Task

CALL_SECONDS = 10.0
"""Between two calls of the scheduler for one sweep there are at least so many seconds, whoever asks."""


class Standing(StrEnum):
    """What is known of the job of a shard."""

    UNSENT = "not submitted"
    UNCLEAR = "unclear"
    PENDING = "pending"
    HELD = "held"
    RUNNING = "running"
    OVER = "over"
    UNKNOWN = "unknown"


LIVE = frozenset({Standing.UNCLEAR, Standing.PENDING, Standing.HELD, Standing.RUNNING})
"""Where there may be a job that writes, now or later."""


@dataclass(frozen=True)
class Place:
    """A shard or the steward, what is known of its job, and in Slurm's words or ours why it is so."""

    shard: int
    standing: Standing
    job: str = ""
    state: str = ""
    reason: str = ""


def places(sweep: paths.Sweep, shards: Iterable[int], tasks: Sequence[Task] | None) -> dict[int, Place]:
    """Return where each shard stands; `tasks` is the queue, or None when Slurm could not be asked."""
    return _places(sweep, _log(sweep), shards, tasks)


def now(sweep: paths.Sweep) -> dict[int, Place]:
    """Return where each planned shard stands, by an answer of Slurm's that is at most ten seconds old.

    A steward that is in the queue has a place behind them, under the number `STEWARD`.
    """
    shards = read_plan(sweep.plan, sweep=ledger.read_identity(sweep).sweep).shards
    log = _log(sweep)
    tasks = _glance(sweep, log)
    return _places(sweep, log, shards, tasks) | _steward(log, tasks or ())


def standing(found: Mapping[int, Place], wanted: Standing) -> set[int]:
    """Return the shards that stand so."""
    return {shard for shard, place in found.items() if place.standing is wanted}


def over(sweep: paths.Sweep) -> set[int]:
    """Return the shards whose jobs are known to have ended; a silent scheduler means that none is known."""
    return standing(now(sweep), Standing.OVER)


def _log(sweep: paths.Sweep) -> list[Submission]:
    return intents.submissions(sweep, ledger.read_identity(sweep).sweep)


def _places(
    sweep: paths.Sweep, log: Sequence[Submission], shards: Iterable[int], tasks: Sequence[Task] | None
) -> dict[int, Place]:
    queue = None if tasks is None else _by_token(tasks)
    return {shard: _place(sweep, log, shard, queue) for shard in shards}


def _glance(sweep: paths.Sweep, log: Sequence[Submission]) -> list[Task] | None:
    """Return the sweep's part of the queue as it was at most ten seconds ago; None when nobody can tell."""
    tokens = {one.intent.token for one in log if one.intent.executor == "slurm"}
    if not tokens:
        return []
    last = intents.last(sweep)
    known = _remembered(sweep, last)
    if known is not None:
        return known
    try:
        tasks = [task for task in slurm.queue() if task.name in tokens] if slurm.present() else None
    except SchedulerError:
        tasks = None
    _remember(sweep, last, tasks)
    return tasks


def _steward(log: Sequence[Submission], tasks: Sequence[Task]) -> dict[int, Place]:
    tokens = {one.intent.token for one in log if one.valid and one.intent.role == intents.STEWARD}
    queued = [task for task in tasks if task.name in tokens and task.live]
    if not queued:
        return {}
    task = queued[-1]
    return {STEWARD: Place(STEWARD, _standing(task), task.job, task.state, task.reason)}


def _place(
    sweep: paths.Sweep, log: Sequence[Submission], shard: int, queue: Mapping[tuple[str, int], Task] | None
) -> Place:
    one = intents.newest(log, shard)
    if one is None:
        return _unwanted(log, shard)
    if one.intent.executor == "local":
        return _local(sweep, shard)
    held = _held(sweep, one, shard)
    if held is not None:
        return held
    return _queued(one, shard, queue)


def _queued(one: Submission, shard: int, queue: Mapping[tuple[str, int], Task] | None) -> Place:
    """Return the place of a shard as the queue has it; a job that the queue has no more is over."""
    index = one.intent.shards.index(shard)
    job = f"{one.jobs[0]}_{index}" if one.jobs else ""
    if queue is None:
        return Place(shard, Standing.UNKNOWN, job, reason="Slurm was not asked, or did not answer")
    task = queue.get((one.intent.token, index))
    if task is not None:
        return Place(shard, _standing(task), f"{task.job}_{index}", task.state, task.reason)
    if one.unclear:
        return Place(shard, Standing.UNCLEAR, reason="its submitter ended before it wrote down Slurm's answer")
    return Place(shard, Standing.OVER, job)


def _unwanted(log: Sequence[Submission], shard: int) -> Place:
    """Return the place of a shard that no valid submission names: refused, cancelled, or never sent."""
    named = [one for one in log if shard in one.intent.shards]
    if not named:
        return Place(shard, Standing.UNSENT)
    reason = named[-1].refused or "cancelled"
    return Place(shard, Standing.OVER if named[-1].cancelled else Standing.UNSENT, reason=reason)


def _standing(task: Task) -> Standing:
    if task.state in {"REQUEUE_HOLD", "SPECIAL_EXIT"}:
        return Standing.HELD
    if task.state == "PENDING":
        return Standing.HELD if reasons.holds(task.reason) else Standing.PENDING
    return Standing.RUNNING if task.live or task.ending else Standing.OVER


def _local(sweep: paths.Sweep, shard: int) -> Place:
    attempts = [attempt for attempt in sweep.attempts(shard) if attempt.claim.exists()]
    if not attempts:
        return Place(shard, Standing.UNKNOWN)
    try:
        note: dict[str, Any] = records.read_json(attempts[-1].claim)
        lives = alive(note)
    except CorruptRecordError:
        return Place(shard, Standing.UNKNOWN)
    if lives is None:
        return Place(shard, Standing.UNKNOWN, reason=f"it ran on {note.get('host')}, which cannot be asked from here")
    return Place(shard, Standing.RUNNING if lives else Standing.OVER, f"process {note['pid']}")


def _held(sweep: paths.Sweep, one: Submission, shard: int) -> Place | None:
    """Return the place of a shard that refused to start in its newest submission."""
    if not sweep.held(shard).exists():
        return None
    note = records.read_json(sweep.held(shard))
    return Place(shard, Standing.HELD, reason=note["reason"]) if note["intent"] == one.number else None


def _by_token(tasks: Sequence[Task]) -> dict[tuple[str, int], Task]:
    """Index a queue by token and array index; of a ghost and the real job, which share both, the live one counts."""
    found: dict[tuple[str, int], Task] = {}
    for task in sorted(tasks, key=lambda task: task.live):
        found[task.name, task.index] = task
    return found


def _remembered(sweep: paths.Sweep, last: int) -> list[Task] | None:
    """Return the answer that somebody got within the last seconds and after the last submission, if there is one."""
    try:
        said = records.read_json(sweep.queue)
        fresh = 0 <= time.time() - said["time"] < CALL_SECONDS and said["submission"] == last
        return [slurm.Task(*row) for row in said["tasks"]] if fresh else None
    except (OSError, CorruptRecordError, KeyError, TypeError):
        return None


def _remember(sweep: paths.Sweep, last: int, tasks: Sequence[Task] | None) -> None:
    if tasks is None:
        return
    rows = [list(vars(task).values()) for task in tasks]
    try:
        records.replace(sweep.queue, records.canonical({"time": time.time(), "submission": last, "tasks": rows}) + "\n")
    except OSError:  # somebody else's sweep: it may be looked at all the same
        return
