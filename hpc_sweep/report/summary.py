"""What a person at a terminal is told: where a sweep stands, who leads, and what to type next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpc_sweep.analysis.table import label
from hpc_sweep.report.wording import number, production_command

if TYPE_CHECKING:
    from hpc_sweep import paths
    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.ledger import Ledger, Row


def summary(sweep: paths.Sweep, decision: Decision) -> str:
    """Return the lines that end a sweep or a collection."""
    coverage = decision.coverage
    done = [
        f"{coverage[status]} {status}" for status in ("completed", "diverged", "failed", "missing") if coverage[status]
    ]
    lines = [f"Trials:      {', '.join(done) or 'none'} of {coverage['planned']} planned"]
    lines += _winner_lines(sweep, decision)
    return "\n".join([*lines, f"Report:      {near(sweep.report_md)}"])


def status_lines(ledger: Ledger) -> list[str]:
    """Return where every trial of a sweep stands: the counts, then what needs a person's eye."""
    counts = {name: count for name, count in ledger.counts.items() if count}
    total = len(ledger.rows)
    lines = [f"{total} trials planned: " + ", ".join(f"{count} {name}" for name, count in counts.items())]
    lines += [_failure_line(row) for row in ledger.rows if row.failure is not None and row.result is None]
    lines += [f"Conflict: trial {late['trial'][:12]} ended twice; the first outcome stands." for late in ledger.late]
    return lines + list(ledger.problems)


def near(path: Path) -> str:
    """Return a path as one would type it here: relative when it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _winner_lines(sweep: paths.Sweep, decision: Decision) -> list[str]:
    winner = decision.winner
    if winner is None:
        return [f"Winner:      none. {decision.rule}"]
    score = f"{decision.objective['metric']} {number(winner.mean)} (n = {winner.n})"
    runs = ", ".join(map(str, winner.trials))
    tied = len(decision.tie_set) - 1
    return [
        f"Winner:      {label(winner.configuration)}: {score}, run {runs}",
        f"Verdict:     {decision.verdict.replace('_', ' ')}; {tied} other configurations are tied with it",
        *(f"Alarm:       {alarm.text}" for alarm in decision.alarms),
        f"Production:  {production_command(Path(near(sweep.root)))}",
    ]


def _failure_line(row: Row) -> str:
    error = row.failure["error"] if row.failure else {}
    return f"Run {row.trial.number} failed ({error.get('reason')}): {str(error.get('text')).splitlines()[-1]}"
