"""What a person at a terminal is told of a decision: who leads, how sure that is, and what to type next."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_sweep.analysis.naming import counted
from hpc_sweep.analysis.table import label
from hpc_sweep.report.terminal import near
from hpc_sweep.report.wording import number, production_command

if TYPE_CHECKING:
    from hpc_sweep import paths
    from hpc_sweep.analysis.decision import Decision


def summary(sweep: paths.Sweep, decision: Decision) -> str:
    """Return the lines that end a sweep or a collection."""
    coverage = decision.coverage
    done = [
        f"{coverage[status]} {status}" for status in ("completed", "diverged", "failed", "missing") if coverage[status]
    ]
    lines = [f"Trials:      {', '.join(done) or 'none'} of {coverage['planned']} planned"]
    lines += _winner_lines(sweep, decision)
    return "\n".join([*lines, f"Report:      {near(sweep.report_html)}"])


def _winner_lines(sweep: paths.Sweep, decision: Decision) -> list[str]:
    winner = decision.winner
    alarms = [f"Alarm:       {alarm.text}" for alarm in decision.alarms]
    if winner is None:
        return [f"Winner:      none. {decision.rule}", *alarms]
    score = f"{decision.objective['metric']} {number(winner.mean)} (n = {winner.n})"
    runs = ", ".join(map(str, winner.trials))
    tied = counted(len(decision.tie_set) - 1, "other configuration is", "other configurations are")
    return [
        f"Winner:      {label(winner.configuration)}: {score}, run {runs}",
        f"Verdict:     {decision.verdict.replace('_', ' ')}; {tied} tied with it",
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
