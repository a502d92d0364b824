"""What the earlier attempts of a shard left: what they finished, and how often they tried what they did not finish.

Slurm's restart count is no witness, so tries are counted from the attempts' own files. An attempt that died without a
word charges one try to the trial that it was in, unless it had got something done: then it was bad luck. If it was in a
stack, this counts as a death of the stack, and nobody is charged, unless nothing makes that stack smaller.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from signal import Signals
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.errors import CorruptRecordError
from hpc_sweep.runtime.checkpoints import reached
from hpc_sweep.runtime.claim import alive
from hpc_sweep.runtime.stacks import Deaths, Life

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.ledger import ShardState

    Line = Mapping[str, Any]

_EXCUSES = frozenset({"saved", "superseded"})
"""What an attempt may have noted that excuses it: it kept a checkpoint, or another one took its place."""


@dataclass(frozen=True)
class Past:
    """The files of one attempt, read back.

    ``reached`` is the epoch of the newest checkpoint, by trial; ``again`` the token of a submission that wants failures
    to be tried again.
    """

    results: tuple[Line, ...] = ()
    progress: tuple[Line, ...] = ()
    reached: Mapping[str, int] = field(default_factory=dict)
    again: str = ""
    alive: bool = False


@dataclass(frozen=True)
class History:
    """What is known before an attempt trains anything.

    ``outcomes`` are trials that ended for good; ``refused`` those whose last failure no retry can mend; ``unpublished``
    the lines of both that their log does not have yet; ``tries`` and ``interruptions`` count by trial, ``deaths`` by
    stack. ``unfit`` says whether an attempt ended because it could not import what its next worker needed.
    """

    outcomes: frozenset[str]
    unpublished: tuple[Line, ...]
    tries: Mapping[str, int]
    interruptions: Mapping[str, int]
    refused: frozenset[str]
    deaths: Deaths = field(default_factory=Deaths)
    unfit: bool = False


def read_past(attempts: Iterable[paths.Attempt]) -> list[Past]:
    """Read what attempts left; a file that cannot be read says nothing, and its trials are trained again."""
    return [_past(attempt) for attempt in attempts]


def recall(state: ShardState, pasts: Sequence[Past]) -> History:
    """Judge the past of a shard from its log and its attempts' files."""
    newly: dict[str, Line] = {}
    tries, interruptions, last = Counter[str](), Counter[str](), dict(state.failures)
    asked, newest, deaths = {""}, dict[str, int](), Deaths()
    for past in pasts:
        if past.again not in asked:  # once for each submission: a requeue of it is no new wish
            asked.add(past.again)
            tries.clear()
            interruptions.clear()
            last.clear()
            deaths.forgive()
        for line in past.results:
            if line["outcome"] is None:
                tries[line["trial"]] += 1
                last[line["trial"]] = line
            elif line["trial"] not in state.results:
                newly.setdefault(line["trial"], line)
        got_on = any(epoch > newest.get(trial, 0) for trial, epoch in past.reached.items())
        newest |= past.reached
        alone = _count_deaths(deaths, past, got_on=got_on)
        tries.update(alone)
        interruptions.update(alone)
    outcomes = frozenset(state.results.keys() | newly.keys())
    refused = {trial: line for trial, line in last.items() if trial not in outcomes and _is_final(line)}
    silent = [line for trial, line in refused.items() if state.failures.get(trial) != line]
    unfit = any(line["event"] == "unfit" for past in pasts for line in past.progress)
    return History(outcomes, (*newly.values(), *silent), tries, interruptions, frozenset(refused), deaths, unfit)


def _count_deaths(deaths: Deaths, past: Past, *, got_on: bool) -> tuple[str, ...]:
    """Count the stacks that died in an attempt, the last with it; return the trial that was alone then."""
    if got_on:
        deaths.forgive()
    for line in past.progress:
        if line["event"] == "died":
            deaths.count(line["trials"], got_on=line["got_on"])
    together = () if got_on else interrupted(past)
    if len(together) > 1:
        deaths.count(together, got_on=False)
        return together[:1] if deaths.stuck(together) else ()
    return together


def interrupted(past: Past) -> tuple[str, ...]:
    """Return the trials that an attempt was in when it died without having got anything done: none, one, or a stack."""
    excused = past.alive or any(_excuses(line) for line in past.progress)
    if excused or any(line["outcome"] is not None for line in past.results):
        return ()
    life = Life()
    for line in past.progress:
        life.take(line)
    begun, ended = _begun(past.progress), Counter(line["trial"] for line in past.results)
    return tuple(trial for trial in life.together if ended[trial] < max(1, begun[trial]))


def _begun(progress: Iterable[Line]) -> Counter[str]:
    """Count how often each trial began, but for the times that ended with its stack, or were stopped."""
    begun, current = Counter[str](), set[str]()
    for line in progress:
        match line["event"]:
            case "start":
                begun[line["trial"]] += 1
                current.add(line["trial"])
            case "died":
                begun.subtract(current.intersection(line["trials"]))
                current.clear()
            case "stopped":
                begun.subtract(current & {line["trial"]})
                current.discard(line["trial"])
    return begun


def _is_final(line: Line) -> bool:
    return not line["error"].get("retryable", False)


def _excuses(line: Line) -> bool:
    by_hand = line["event"] == "stopping" and line["signal"] == Signals.SIGINT.name
    return by_hand or line["event"] in _EXCUSES


def _past(attempt: paths.Attempt) -> Past:
    try:
        note: dict[str, Any] = records.read_json(attempt.claim)
    except (OSError, CorruptRecordError):
        note = {}
    lives = bool(note) and alive(note) is True
    again = str(note.get("again", ""))
    results = tuple(_lines(attempt.results, sealed=True))
    progress = tuple(_lines(attempt.progress, sealed=False))
    return Past(results, progress, reached(attempt), again, lives)


def _lines(path: Path, *, sealed: bool) -> list[Line]:
    try:
        return records.read_lines(path, sealed=sealed, problems=[])
    except (OSError, CorruptRecordError):
        return []
