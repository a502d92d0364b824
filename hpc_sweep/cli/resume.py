"""``hpc-sweep resume``: going on with what a sweep still owes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from hpc_sweep.cli.lazy import load
from hpc_sweep.cli.verb import FOLDER, open_sweep, verb
from hpc_sweep.cluster import resume as going_on

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@FOLDER
@click.option("--failed", is_flag=True, help="Train failed trials again, too.")
@click.option("--allow-code-change", is_flag=True, help="Let shards run whose code was edited since the submission.")
@verb
def resume(folder: Path, failed: bool, allow_code_change: bool) -> int:
    """Submit what has no outcome and tries left; a local sweep goes on here."""
    sweep = open_sweep(folder)
    confirming = partial(load, "hpc_sweep.cluster.confirming")
    resumed = going_on.resume(sweep, confirming, again=failed, allow_code_change=allow_code_change)
    click.echo(resumed.text)
    if not resumed.over:
        return 0
    status: int = load("hpc_sweep.cli.collect:collected")(sweep)
    return status
