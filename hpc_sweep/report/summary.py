"""What a person at a terminal is told: where a sweep stands, who leads, and what to type next."""

from __future__ import annotations

import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_sweep.analysis.alarms import conflicting
from hpc_sweep.analysis.table import label
from hpc_sweep.report.wording import number, production_command
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from hpc_sweep import paths
    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.ledger import Ledger, Row


NAMED = 20
"""How many failed trials are named one by one."""


def summary(sweep: paths.Sweep, decision: Decision) -> str:
    """Return the lines that end a sweep or a collection."""
    coverage = decision.coverage
    done = [
        f"{coverage[status]} {status}" for status in ("completed", "diverged", "failed", "missing") if coverage[status]
    ]
    lines = [f"Trials:      {', '.join(done) or 'none'} of {coverage['planned']} planned"]
    lines += _winner_lines(sweep, decision)
    return "\n".join([*lines, f"Report:      {near(sweep.report_html)}"])


def status_lines(ledger: Ledger) -> list[str]:
    """Return where every trial of a sweep stands: the counts, then what needs a person's eye."""
    counts = {name: count for name, count in ledger.counts.items() if count}
    total = len(ledger.rows)
    lines = [f"{total} trials planned: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
    seconds = seconds_left(ledger)
    if seconds is not None:
        lines.append(f"About {timedelta(seconds=round(seconds))} are left, by the trials that ended.")
    failed = [row for row in ledger.rows if row.failure is not None and row.result is None]
    lines += [_failure_line(row) for row in failed[:NAMED]]
    if len(failed) > NAMED:
        lines.append(f"… and {len(failed) - NAMED} more failed.")
    lines += [
        f"Conflict: trial {one.id[:12]} ended twice, differently; the first outcome stands."
        for one in conflicting(ledger)
    ]
    return lines + list(ledger.problems)


def seconds_left(ledger: Ledger) -> float | None:
    """Return in how many seconds the open trials may end, by the mean time of those that ended; None when unknown.

    The shards that run now are taken to go on side by side.
    """
    ended = [row.result["seconds"] for row in ledger.rows if row.result is not None and "seconds" in row.result]
    left = sum(row.status in {Status.PLANNED, Status.RUNNING} for row in ledger.rows)
    shards = {row.trial.shard for row in ledger.rows if row.status is Status.RUNNING}
    if not (ended and left and shards):
        return None
    return float(sum(ended) / len(ended) * left / len(shards))


def printable(text: str) -> str:
    """Return a text without the control characters by which it could act on a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


def near(path: Path) -> str:
    """Return a path as one would type it here: relative when it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _winner_lines(sweep: paths.Sweep, decision: Decision) -> list[str]:
    winner = decision.winner
    alarms = [f"Alarm:       {alarm.text}" for alarm in decision.alarms]
    if winner is None:
        return [f"Winner:      none. {decision.rule}", *alarms]
    score = f"{decision.objective['metric']} {number(winner.mean)} (n = {winner.n})"
    runs = ", ".join(map(str, winner.trials))
    tied = len(decision.tie_set) - 1
    return [
        f"Winner:      {label(winner.configuration)}: {score}, run {runs}",
        f"Verdict:     {decision.verdict.replace('_', ' ')}; {tied} other configurations are tied with it",
        *_confirmation_lines(sweep, decision),
        *_choice_lines(decision),
        *alarms,
        f"Production:  {_long_run(sweep)}",
    ]


def _long_run(sweep: paths.Sweep) -> str:
    """Return what to type for the long run, by the Python that is running; a foreign app trains its winner itself."""
    if "\ntask: " in sweep.optimized.read_text(encoding="utf-8"):
        return production_command(Path(near(sweep.root))).replace("python", near(Path(sys.executable)), 1)
    return f"your app with --config-dir {shlex.quote(near(sweep.decision))} +winner=optimized"


def _confirmation_lines(sweep: paths.Sweep, decision: Decision) -> list[str]:
    """Return the score on fresh replicates, or what to type for it; nothing where it is not asked for."""
    fresh, winner, asked = decision.confirmation, decision.winner, decision.objective.get("confirm")
    if fresh is None:
        resume = f"hpc-sweep resume {shlex.quote(near(sweep.root))}"
        return [f"Confirmed:   not yet; by itself once all has ended, or now: {resume}"] if asked else []
    if not fresh.over:
        return [f"Confirmed:   {fresh.n} of {fresh.planned} fresh runs of the pick have a score"]
    if winner is None or winner.confirmed is None:
        return [f"Confirmed:   not this one; {label(fresh.configuration)} was the pick before the fresh runs"]
    return [f"Confirmed:   {number(winner.confirmed)} on fresh replicates (n = {fresh.n})"]


def _choice_lines(decision: Decision) -> list[str]:
    choice = decision.choice
    if choice is None:
        return []
    delta = "" if choice.delta is None else f"; {choice.delta:+.4g} against the pick, shrunk"
    return [f"Chosen:      {label(choice.configuration)}, run {choice.trial}{delta}. Reason: {choice.reason}"]


def _failure_line(row: Row) -> str:
    error = row.failure["error"] if row.failure else {}
    last = (str(error.get("text")).splitlines() or [""])[-1]
    return printable(f"Run {row.trial.number} failed ({error.get('reason')}): {last}")
