"""The submission log: what is meant to run is written before anything is asked of a scheduler.

::

    intent      a token, the shards by index, and all that their jobs need; its script lies beside it already
    submitted   the scheduler's answer for one intent: its job, or why there is none

An intent without an answer is *unclear*: its submitter may have died at any step, and the job may be there or not. An
intent whose answer names no job is *void*, one that a cancellation follows is *cancelled*, and one is *outdated* for a
shard that a later intent names: a job of any of these has nothing to do, whenever it may start.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.runtime.claim import notes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpc_sweep import paths

ARRAY, STEWARD, WISH, CANCEL = "array", "steward", "wish", "cancel"
"""What an intent is for: shards, a steward, nothing yet but how shards are to be run, or the end of all before it."""


@dataclass(frozen=True)
class Intent:
    """Which shards one submission runs, by index, and what each of them needs to know.

    ``folder`` is the submitter's working directory and ``python_path`` where it found the app's modules; a relative
    entry lies in the sweep. ``roots`` say where the app's code was, and what it was. ``parameters`` are the launcher's:
    whoever finds the sweep later can submit again. ``again`` has failed trials trained anew. When the intent was made,
    ``published`` trials had ended or failed, and the checkpoints of the others had come to ``saved`` epochs together.
    """

    token: str
    executor: str
    shards: tuple[int, ...]
    threads: int
    folder: str
    python_path: tuple[str, ...]
    script_sha256: str = ""
    role: str = ARRAY
    parameters: Mapping[str, Any] = field(default_factory=dict)
    roots: tuple[Mapping[str, Any], ...] = ()
    round: int = 0
    published: int = 0
    saved: int = 0
    again: bool = False
    by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def begun(self) -> datetime:
        """When the intent was published, by its submitter's clock; used to save work, never to be right."""
        return datetime.fromisoformat(self.by["begun"])

    def over(self, shards: Iterable[int], **changes: Any) -> Intent:  # noqa: ANN401 because fields have many types
        """Return the intent to run other shards in the same way, with a token of its own, by this process."""
        return replace(self, token=new_token(), by=notes(), shards=tuple(shards), script_sha256="", **changes)


@dataclass(frozen=True)
class Submission:
    """An intent of the log, with the scheduler's answer as far as it is known."""

    number: int
    intent: Intent
    jobs: tuple[str, ...] = ()
    refused: str = ""
    cancelled: bool = False

    @property
    def unclear(self) -> bool:
        """Whether nobody has written down what became of it."""
        sent = self.intent.executor == "slurm" and self.intent.role in {ARRAY, STEWARD}
        return sent and not self.jobs and not self.refused

    @property
    def valid(self) -> bool:
        """Whether its jobs are still wanted."""
        return not self.refused and not self.cancelled and self.intent.role != CANCEL


def new_token() -> str:
    """Return a token that is unique and safe in any shell: letters, digits and hyphens."""
    return f"hpc-sweep-{uuid.uuid4().hex[:12]}"


def publish(sweep: paths.Sweep, sweep_id: str, intent: Intent, script: Callable[[int], str], *, after: int) -> int:
    """Write an intent's script, then append the intent right behind number ``after``, and return its number.

    0 says that another submitter came between: nothing was promised, and the log must be read again.
    """
    number = after + 1
    text = script(number)
    path = sweep.script(intent.token)
    records.publish(path, text)
    body = {**vars(intent), "script_sha256": hashlib.sha256(text.encode()).hexdigest()}
    if records.append(sweep.submissions, records.Kind.INTENT, body, sweep=sweep_id, at=number):
        return number
    path.unlink()
    return 0


def append_wish(sweep: paths.Sweep, sweep_id: str, template: Intent) -> None:
    """Write down how shards are to be run before anything is asked of a scheduler, so that `resume` knows it."""
    wish = template.over((), role=WISH)
    records.append(sweep.submissions, records.Kind.INTENT, vars(wish), sweep=sweep_id)


def append_cancel(sweep: paths.Sweep, sweep_id: str, after: int) -> int:
    """Say that no earlier intent is wanted any more; return the number, 0 when another entry came between."""
    intent = Intent(new_token(), "none", (), 1, "", (), role=CANCEL, by=notes())
    return records.append(sweep.submissions, records.Kind.INTENT, vars(intent), sweep=sweep_id, at=after + 1)


def answer(sweep: paths.Sweep, sweep_id: str, number: int, jobs: Sequence[str], refused: str = "") -> int:
    """Append what became of an intent, and return the number of this entry."""
    body = {"intent": number, "jobs": list(jobs), "refused": refused}
    return records.append(sweep.submissions, records.Kind.SUBMITTED, body, sweep=sweep_id)


def read(sweep: paths.Sweep, sweep_id: str, number: int) -> Intent:
    """Read one intent of the submission log."""
    (entry, *_) = records.read(sweep.submissions, sweep=sweep_id, after=number - 1)
    return _intent(entry.body)


def last(sweep: paths.Sweep) -> int:
    """Return the highest number of the submission log; `publish` wants it."""
    return records.last_number(sweep.submissions)


def submissions(sweep: paths.Sweep, sweep_id: str) -> list[Submission]:
    """Return every intent of the log, in order, with what became of it.

    Among the answers to one intent the first stands: a job that was found after all has nothing to do.
    """
    found: dict[int, Submission] = {}
    for entry in records.read(sweep.submissions, sweep=sweep_id):
        if entry.kind is records.Kind.INTENT:
            intent = _intent(entry.body)
            if intent.role == CANCEL:
                found = {number: replace(earlier, cancelled=True) for number, earlier in found.items()}
            found[entry.number] = Submission(entry.number, intent)
            continue
        earlier = found[entry.body["intent"]]
        if not earlier.jobs and not earlier.refused:
            jobs, refused = tuple(entry.body["jobs"]), entry.body["refused"]
            found[earlier.number] = replace(earlier, jobs=jobs, refused=refused)
    return list(found.values())


def newest(submissions: Iterable[Submission], shard: int) -> Submission | None:
    """Return the latest submission that names a shard and is still wanted."""
    return max(
        (one for one in submissions if one.valid and one.intent.role == ARRAY and shard in one.intent.shards),
        key=lambda one: one.number,
        default=None,
    )


def _intent(body: Mapping[str, Any]) -> Intent:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}
    return Intent(**fields)
