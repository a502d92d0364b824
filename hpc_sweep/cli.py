"""The command ``hpc-sweep``: what a person asks of a sweep that is there."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpc_sweep import __version__, ledger, paths, records
from hpc_sweep.cluster.states import over
from hpc_sweep.errors import SweepError
from hpc_sweep.report.collect import collect as collect_sweep
from hpc_sweep.report.summary import status_lines, summary

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = click.argument("folder", type=click.Path(path_type=Path))


def _verb(function: Callable[..., int]) -> Callable[..., None]:
    """Turn what a verb returns or raises into the exit status of the command."""

    @functools.wraps(function)
    def command(**given: Any) -> None:  # noqa: ANN401 because click passes what each verb declares
        try:
            sys.exit(function(**given))
        except SweepError as error:
            click.echo(str(error), err=True)
            sys.exit(error.exit_status)

    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Ask a sweep where it stands, and merge what it found.

    \b
    example:  hpc-sweep status  outputs/task11/2026-01-02T10-00-00Z
              hpc-sweep collect outputs/task11/2026-01-02T10-00-00Z
    """  # noqa: D301 because click reads the \b


@main.command()
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print one object instead of lines.")
@_verb
def status(folder: Path, as_json: bool) -> int:
    """Print how many trials are planned, running, done, failed or lost, and why."""
    sweep = paths.Sweep(folder.resolve())
    state = ledger.read_ledger(sweep, over=over(sweep))
    if as_json:
        click.echo(records.canonical({"schema": 1, "sweep": state.identity.sweep, "counts": state.counts}))
    else:
        click.echo("\n".join(status_lines(state)))
    return 1 if state.counts["failed"] or state.problems else 0


@main.command()
@FOLDER
@_verb
def collect(folder: Path) -> int:
    """Merge the results into tables, decide, and write the report; safe at any time, twice at once."""
    sweep = paths.Sweep(folder.resolve())
    decision = collect_sweep(sweep, over=over(sweep))
    click.echo(summary(sweep, decision))
    refused = decision.winner is None
    return 1 if refused or decision.coverage["failed"] else 0


if __name__ == "__main__":
    main()
