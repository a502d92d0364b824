"""The command ``hpc-sweep``: what a person asks of a sweep that is there."""

from __future__ import annotations

import click

from hpc_sweep import __version__
from hpc_sweep.cli.lazy import LazyGroup, Verb

VERBS = {
    "audit": Verb(
        "hpc_sweep.cli.audit:audit",
        "Judge a results table of any origin: the same decision, alarms and report as for a sweep.",
    ),
    "cancel": Verb(
        "hpc_sweep.cli.cancel:cancel", "End every job of the sweep; what was found stays, and `resume` goes on."
    ),
    "collect": Verb(
        "hpc_sweep.cli.collect:collect",
        "Merge the results into tables, decide, and write the report; safe at any time, twice at once.",
    ),
    "logs": Verb("hpc_sweep.cli.logs:logs", "Print what one trial printed, by its number or the beginning of its id."),
    "resume": Verb(
        "hpc_sweep.cli.resume:resume", "Submit what has no outcome and tries left; a local sweep goes on here."
    ),
    "status": Verb(
        "hpc_sweep.cli.status:status",
        "Print how many trials are planned, running, done, failed, lost or held, and why.",
    ),
}
"""Where each verb is, and the first sentence of its help: it is shown without loading what the verb needs."""


@click.group(cls=LazyGroup, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Ask a sweep where it stands, go on with it, and merge what it found.

    \b
    example:  hpc-sweep status  outputs/task11/2026-01-02T10-00-00Z
              hpc-sweep resume  outputs/task11/2026-01-02T10-00-00Z
              hpc-sweep collect outputs/task11/2026-01-02T10-00-00Z
    """  # noqa: D301 because click reads the \b
