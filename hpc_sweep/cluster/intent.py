"""The submission log: what is meant to run is written before anything is asked of a scheduler."""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_sweep import records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpc_sweep import paths


@dataclass(frozen=True)
class Intent:
    """Which shards one submission runs, by index, and what each of them needs to know.

    ``folder`` is the working directory of the submitter and ``python_path`` where it found modules.
    """

    token: str
    executor: str
    shards: tuple[int, ...]
    threads: int
    folder: str
    python_path: tuple[str, ...]
    script_sha256: str = ""

    @classmethod
    def new(cls, executor: str, shards: Sequence[int], threads: int) -> Intent:
        """Make an intent with a fresh token, from this process's folder and module path."""
        token = f"hpc-sweep-{uuid.uuid4().hex[:12]}"
        return cls(token, executor, tuple(shards), threads, str(Path.cwd()), _own_path())


def publish(sweep: paths.Sweep, sweep_id: str, intent: Intent, script: Callable[[int], str]) -> int:
    """Append an intent and write its script beside it; return its number.

    ``script`` renders the text for a number. Should another submitter take that number first, ours is rendered anew.
    """
    while True:
        expected = records.last_number(sweep.submissions) + 1
        text = script(expected)
        body = {**vars(intent), "script_sha256": hashlib.sha256(text.encode()).hexdigest()}
        number = records.append(sweep.submissions, records.Kind.INTENT, body, sweep=sweep_id)
        if number == expected:
            records.publish(sweep.script(number), text)
            return number


def read(sweep: paths.Sweep, sweep_id: str, number: int) -> Intent:
    """Read one intent of the submission log."""
    (entry, *_) = records.read(sweep.submissions, sweep=sweep_id, after=number - 1)
    return _intent(entry.body)


def submissions(sweep: paths.Sweep, sweep_id: str) -> list[tuple[int, Intent, tuple[str, ...]]]:
    """Return every intent with its number and the job ids that are known for it."""
    entries = list(records.read(sweep.submissions, sweep=sweep_id))
    jobs = {
        entry.body["intent"]: tuple(entry.body["jobs"]) for entry in entries if entry.kind is records.Kind.SUBMITTED
    }
    intents = [entry for entry in entries if entry.kind is records.Kind.INTENT]
    return [(entry.number, _intent(entry.body), jobs.get(entry.number, ())) for entry in intents]


def _intent(body: Mapping[str, Any]) -> Intent:
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}
    return Intent(**fields)


def _own_path() -> tuple[str, ...]:
    """Return where this process finds modules outside of its environment: the app's own folders."""
    environment = (sys.prefix, sys.base_prefix)
    folders = [str(Path(entry or os.curdir).resolve()) for entry in sys.path]
    return tuple(folder for folder in folders if not folder.startswith(environment) and Path(folder).is_dir())
