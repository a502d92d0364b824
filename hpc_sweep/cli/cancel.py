"""``hpc-sweep cancel``: the end of every job of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hpc_sweep.cli.verb import FOLDER, open_sweep, verb
from hpc_sweep.cluster import cancel as ending

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@FOLDER
@verb
def cancel(folder: Path) -> int:
    """End every job of the sweep; what was found stays, and `resume` goes on."""
    click.echo(ending.cancel(open_sweep(folder)))
    return 0
