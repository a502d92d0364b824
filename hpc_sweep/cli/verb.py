"""What the verbs share: the folder they are given, and how what they return or raise becomes an exit status."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpc_sweep import ledger, paths
from hpc_sweep.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = click.argument("folder", type=click.Path(path_type=Path))


def verb(function: Callable[..., int]) -> Callable[..., None]:
    """Turn what a verb returns or raises into the exit status of the command."""

    @functools.wraps(function)
    def command(**given: Any) -> None:  # noqa: ANN401 because click passes what each verb declares
        try:
            sys.exit(function(**given))
        except SweepError as error:
            click.echo(str(error), err=True)
            sys.exit(error.exit_status)
        except OSError as error:
            lines = [error.strerror or error, error.filename, *getattr(error, "__notes__", ())]
            click.echo("\n".join(str(line) for line in lines if line), err=True)
            sys.exit(2)

    return command


def open_sweep(folder: Path) -> paths.Sweep:
    """Return the sweep in a folder; ForeignSweepError where there is none."""
    sweep = paths.Sweep(folder.resolve())
    ledger.read_identity(sweep)
    return sweep
