"""What one trial printed, cut out of the log of the attempt that ran it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.trial import Trial

_HEAD = re.compile(r"^--- trial ([0-9]+) \([0-9a-f]+\)", re.MULTILINE)


def find_trial(trials: Sequence[Trial], wanted: str) -> Trial:
    """Return the trial of a number or of the beginning of an id; UserError when there is none, or more than one."""
    found = [trial for trial in trials if str(trial.number) == wanted]
    found = found or [trial for trial in trials if trial.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    raise UserError(
        f"{'No trial' if not found else f'{len(found)} trials'} of the sweep can be meant by '{wanted}'.",
        next_step=f"Type a number from 1 to {len(trials)}, or the first characters of an id.",
    )


def trial_log(sweep: paths.Sweep, trial: Trial) -> str:
    """Return what a trial printed in every attempt that ran it, oldest first; UserError when it never ran."""
    parts = []
    for attempt in sweep.attempts(trial.shard):
        text = _text(attempt.log)
        parts += [f"=== attempt {attempt.number} of shard {trial.shard}\n{part}" for part in _cut(text, trial.number)]
    if not parts:
        raise UserError(
            f"Run {trial.number} has not printed anything yet.",
            where=f"Shard: {trial.shard}",
            next_step=f"hpc-sweep status {sweep.root}",
        )
    return "\n".join(parts)


def _cut(text: str, number: int) -> list[str]:
    heads = list(_HEAD.finditer(text))
    bounds = [*(head.start() for head in heads), len(text)]  # of a log that nobody headed: its end
    return [text[head.start() : end] for head, end in zip(heads, bounds[1:], strict=True) if int(head[1]) == number]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
