"""``hpc-sweep collect``: what a sweep found, merged, judged and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpc_sweep.cli.verb import FOLDER, open_sweep, verb
from hpc_sweep.cluster import states
from hpc_sweep.report.collect import collect as collect_sweep
from hpc_sweep.report.summary import summary

if TYPE_CHECKING:
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.analysis.decision import Decision


@click.command()
@FOLDER
@click.option("--choose", type=int, help="Carry this run on instead of the pick; the pick's own number takes it back.")
@click.option("--reason", default="", help="Why, for the record; a choice without a reason is refused.")
@verb
def collect(folder: Path, choose: int | None, reason: str) -> int:
    """Merge the results into tables, decide, and write the report; safe at any time, twice at once."""
    return collected(open_sweep(folder), None if choose is None else (choose, reason))


def collected(sweep: paths.Sweep, chosen: tuple[int, str] | None = None) -> int:
    """Collect a sweep, print who leads, and return the exit status of that."""
    decision = collect_sweep(sweep, over=states.over(sweep), chosen=chosen)
    click.echo(summary(sweep, decision))
    return 1 if decision.winner is None or decision.coverage["failed"] or _is_damaged(decision) else 0


def _is_damaged(decision: Decision) -> bool:
    """Tell whether trials lack an outcome while a record is gone or cannot be read: what it held may be theirs."""
    damage = {"unreadable_records", "vanished_records"}
    return bool(decision.coverage["missing"]) and any(alarm.kind in damage for alarm in decision.alarms)
