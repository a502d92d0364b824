"""``hpc-sweep logs``: what one trial printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpc_sweep import ledger
from hpc_sweep.cli.verb import FOLDER, open_sweep, verb
from hpc_sweep.plan import read_plan
from hpc_sweep.report.terminal import printable
from hpc_sweep.report.trial_log import find_trial, trial_log

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@FOLDER
@click.argument("trial")
@verb
def logs(folder: Path, trial: str) -> int:
    """Print what one trial printed, by its number or the beginning of its id."""
    sweep = open_sweep(folder)
    plan = read_plan(sweep.plan, sweep=ledger.read_identity(sweep).sweep)
    click.echo(printable(trial_log(sweep, find_trial(plan.trials, trial))))
    return 0
