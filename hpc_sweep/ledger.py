"""From the logs of a sweep to its state: who it is, what was planned, and where each trial stands.

Among the outcomes of a trial the first in its shard's log stands; a failure is a note that any outcome outranks.
"""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep import paths, records
from hpc_sweep.errors import CorruptRecordError, ForeignSweepError
from hpc_sweep.objective import Objective
from hpc_sweep.plan import Plan, read_plan
from hpc_sweep.records import canonical
from hpc_sweep.records.patience import pauses
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from hpc_sweep.records import Entry
    from hpc_sweep.trial import Trial


_REPAIR = "What it held comes back with hpc-sweep resume <this sweep>: published again, or trained again."
"""What mends the log of a shard: its next attempt publishes what earlier ones finished, under the next free number."""


@dataclass(frozen=True)
class Identity:
    """What `sweep.json` says, written once when the sweep took its folder."""

    sweep: str
    objective: Objective
    base: str
    code: Mapping[str, Any]
    data: str
    versions: Mapping[str, str]
    created: str
    log_mode: str = "link"


@dataclass
class ShardState:
    """What the log and the attempts of one shard say, as far as they were read.

    ``last`` is the highest number that was read, ``attempt`` the highest attempt and ``end`` the highest one that came
    to its end; ``started`` are the trials that the highest attempt has begun. ``choices`` say how its stacks train.
    """

    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    late: list[Mapping[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    choices: list[Mapping[str, Any]] = field(default_factory=list)
    throughput: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    last: int = 0
    attempt: int = 0
    end: int = 0
    started: frozenset[str] = frozenset()

    @property
    def ended(self) -> bool:
        """Whether the highest attempt came to its end."""
        return 0 < self.attempt == self.end

    def copy(self) -> ShardState:
        """Return a state that can be read on without changing this one."""
        copies = {name: copy(getattr(self, name)) for name in ("results", "failures", "late", "choices", "throughput")}
        return replace(self, **copies)


@dataclass(frozen=True)
class Row:
    """A planned trial and where it stands."""

    trial: Trial
    status: Status
    result: Mapping[str, Any] | None
    failure: Mapping[str, Any] | None
    attempt: int


@dataclass(frozen=True)
class Ledger:
    """The state of a sweep at one moment; `inputs` is the highest number that was read of each log.

    `vanished` is the highest number that somebody had read before, of the logs that do not reach it any more: empty
    unless who reads the ledger knows of such.
    """

    identity: Identity
    plan: Plan
    rows: tuple[Row, ...]
    late: tuple[Mapping[str, Any], ...]
    problems: tuple[str, ...]
    inputs: Mapping[str, int]
    shards: Mapping[int, ShardState] = field(default_factory=dict, repr=False, compare=False)
    vanished: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """How many trials have each status; all statuses are named."""
        found = Counter(row.status for row in self.rows)
        return {status.value: found[status] for status in Status}

    @property
    def conflicts(self) -> list[Trial]:
        """The trials that ended a second time with another outcome or other metrics, in the plan's order."""
        first = {row.trial.id: row.result for row in self.rows if row.result is not None}
        differing = {late["trial"] for late in self.late if _differs(first.get(late["trial"]), late)}
        return [row.trial for row in self.rows if row.trial.id in differing]


def write_identity(sweep: paths.Sweep, identity: Identity) -> bool:
    """Take the folder for a sweep, with the way in which its logs are kept; return False when another sweep has it."""
    if sweep.identity.exists():
        return False
    mode = records.probe(sweep.root)
    body = {**vars(identity), "objective": identity.objective.as_json(), "schema": records.SCHEMA, "log_mode": mode}
    return records.publish(sweep.identity, records.seal(body))


def read_identity(sweep: paths.Sweep) -> Identity:
    """Read `sweep.json`; raise ForeignSweepError where there is none."""
    if not sweep.identity.is_file():
        raise ForeignSweepError(
            "This folder is no sweep: it has no sweep.json.",
            where=f"Folder: {sweep.root}",
            next_step="Give the folder that a sweep printed, for example outputs/task11/<stamp>.",
        )
    body = records.read_sealed(sweep.identity)
    try:
        fields = {name: body[name] for name in Identity.__dataclass_fields__ if name != "objective"}
        return Identity(**fields, objective=Objective.parse(body["objective"] | _said_later(sweep)))
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptRecordError("sweep.json lacks what it must say.", where=f"{sweep.identity}: {error}") from None


def say_mode(sweep: paths.Sweep, mode: str) -> None:
    """Say whether more or less is better, for a sweep that has not said it; what is said first stands."""
    records.publish(sweep.mode, records.seal({"mode": mode, "schema": records.SCHEMA}))


def _said_later(sweep: paths.Sweep) -> dict[str, str]:
    return {"mode": records.read_sealed(sweep.mode)["mode"]} if sweep.mode.is_file() else {}


def read_ledger(
    sweep: paths.Sweep,
    *,
    over: Collection[int] = (),
    held: Collection[int] = (),
    known: Ledger | None = None,
    patience: float | None = 0.0,
) -> Ledger:
    """Read every log of a sweep.

    `over` are the shards whose jobs are known to have ended, `held` those that wait until a person acts. With `known`,
    what was read before, only what is new is read. For `patience` seconds a shard that is over without having come to
    its end is read again, because its last words may not be visible yet; None is as long as its file system may take.
    """
    identity = read_identity(sweep) if known is None else known.identity
    plan = _read_plan(sweep, identity.sweep, known)
    shards = {number: _read_on(sweep, identity.sweep, number, known) for number in plan.shards}
    _read_again(sweep, identity.sweep, {number: shards[number] for number in over if number in shards}, patience)
    holes = _holes(sweep, identity.sweep, plan, shards)
    rows = tuple(_row(trial, shards[trial.shard], trial.shard in over, trial.shard in held) for trial in plan.trials)
    inputs = {"plan": len(plan.parts)} | {f"shards/{number:04d}": state.last for number, state in shards.items()}
    late = tuple(result for state in shards.values() for result in state.late)
    problems = tuple(problem for state in shards.values() for problem in state.problems) + holes
    return Ledger(identity, plan, rows, late, problems, inputs, shards)


def read_shard(sweep: paths.Sweep, sweep_id: str, number: int, state: ShardState | None = None) -> ShardState:
    """Read the log of one shard, on from a state if there is one; what cannot be read is named in its problems."""
    state = ShardState() if state is None or state.problems else state.copy()
    extend(state, sweep.shard(number), sweep_id)
    attempts = sweep.attempts(number)
    state.attempt = attempts[-1].number if attempts else 0
    state.started = started(attempts[-1].progress) if attempts and not state.ended else frozenset()
    return state


def extend(state: ShardState, log: Path, sweep_id: str, patience: float | None = None) -> None:
    """Read on in the log of one shard, from where the state stands."""
    for found in records.scan(log, sweep=sweep_id, after=state.last, patience=patience):
        state.last = found.number
        if isinstance(found, records.Corrupt):
            state.problems.append(f"{found.error}\n{_REPAIR}")
        else:
            _take(state, found)


def started(progress: Path) -> frozenset[str]:
    """Return the ids of the trials that an attempt has begun."""
    lines = records.read_lines(progress, sealed=False, problems=[])
    return frozenset(line["trial"] for line in lines if line["event"] == "start")


def status(row: ShardState, trial: str, *, over: bool, held: bool = False) -> Status:
    """Decide where a trial stands; `over` says that its shard's job is known to have ended.

    ::

        outcome in the log          that outcome
        failure in the log          failed; a retryable one while its attempt goes on: as below
        its shard is held           held
        job over, or attempt ended  lost
        begun by the open attempt   running
        otherwise                   planned
    """
    if trial in row.results:
        return Status(row.results[trial]["outcome"])
    if trial in row.failures and (over or row.ended or not row.failures[trial]["error"].get("retryable", False)):
        return Status.FAILED
    if held:
        return Status.HELD
    if over or row.ended:
        return Status.LOST
    return Status.RUNNING if trial in row.started else Status.PLANNED


def _differs(first: Mapping[str, Any] | None, late: Mapping[str, Any]) -> bool:
    return first is not None and any(
        canonical(first.get(name)) != canonical(late.get(name)) for name in ("outcome", "metrics")
    )


def _read_again(sweep: paths.Sweep, sweep_id: str, shards: Mapping[int, ShardState], patience: float | None) -> None:
    """Read on in shards that are over and have no end, until they have one or no cache can be to blame."""
    unended = {number: state for number, state in shards.items() if not state.ended}
    if not unended:
        return
    for _ in pauses(max(map(sweep.shard, unended), key=_changed), patience):
        for number, state in unended.items():
            extend(state, sweep.shard(number), sweep_id)
        if all(state.ended for state in unended.values()):
            return


def _holes(sweep: paths.Sweep, sweep_id: str, plan: Plan, shards: Mapping[int, ShardState]) -> tuple[str, ...]:
    """Tell what is not read because a number before it is missing, once no cache can be to blame."""
    read = {sweep.plan: len(plan.parts), sweep.submissions: 0}
    states = {sweep.shard(number): state for number, state in shards.items()}
    found = _missing(read | {log: state.last for log, state in states.items()})
    waits = pauses(max(found, key=_changed)) if found else iter(())
    while found and next(waits, None) is not None:
        for log in found.keys() & states.keys():
            extend(states[log], log, sweep_id)
        found = _missing({log: states[log].last if log in states else read[log] for log in found})
    return tuple(_hole_text(sweep, log, hole, repair=log in states) for log, hole in found.items())


def _missing(logs: Mapping[Path, int]) -> dict[Path, records.Hole]:
    return {log: hole for log, last in logs.items() if (hole := records.hole(log, after=last))}


def _hole_text(sweep: paths.Sweep, log: Path, hole: records.Hole, *, repair: bool) -> str:
    behind = "1 entry behind it is" if hole.behind == 1 else f"{hole.behind} entries behind it are"
    lines = [
        f"The log {log.relative_to(sweep.root)} has no entry {hole.number:06d}: {behind} there and not read.",
        f"File: {log / f'{hole.number:06d}.json'}",
        "It is not visible yet, or was moved away: bring it back.",
    ]
    return "\n".join([*lines, _REPAIR] if repair else lines)


def _changed(folder: Path) -> float:
    return folder.stat().st_mtime if folder.exists() else 0.0


def _row(trial: Trial, shard: ShardState, over: bool, held: bool) -> Row:
    result, failure = shard.results.get(trial.id), shard.failures.get(trial.id)
    return Row(trial, status(shard, trial.id, over=over, held=held), result, failure, shard.attempt)


def _read_plan(sweep: paths.Sweep, sweep_id: str, known: Ledger | None) -> Plan:
    parts = () if known is None else known.plan.parts
    new = read_plan(sweep.plan, sweep=sweep_id, after=len(parts)).parts
    return Plan((*parts, *new))


def _read_on(sweep: paths.Sweep, sweep_id: str, number: int, known: Ledger | None) -> ShardState:
    return read_shard(sweep, sweep_id, number, None if known is None else known.shards.get(number))


def _take(state: ShardState, entry: Entry) -> None:
    if entry.kind is records.Kind.END:
        state.end = max(state.end, entry.body["attempt"])
        state.throughput[entry.body["attempt"]] = entry.body.get("throughput", {})
        return
    if entry.kind is records.Kind.CHOICE:
        state.choices.append(entry.body["choice"])
        return
    for result in entry.body.get("results", ()):
        trial = result["trial"]
        if result["outcome"] is None:
            state.failures[trial] = result
        elif trial not in state.results:
            state.results[trial] = result
        elif canonical(state.results[trial]) != canonical(result):
            state.late.append(result)
