"""``hpc-sweep audit``: the decision and report of a sweep for a results table of any origin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpc_sweep import paths
from hpc_sweep.cli.verb import verb
from hpc_sweep.report import audit as auditing
from hpc_sweep.report.collect import decision_text
from hpc_sweep.report.terminal import near, printable


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--metric", required=True, help="The column that is judged, for example val/accuracy.")
@click.option("--mode", required=True, type=click.Choice(["max", "min"]), help="Whether more or less is better.")
@click.option("--params", default="", help="The columns that were varied, separated by commas; else they are found.")
@click.option("--replicate", help="The column that repeats a configuration, normally the seed; else it is found.")
@click.option("--n", "examples", type=click.IntRange(1), help="How many examples the metric was measured on.")
@click.option("--carried", default="", help="A configuration that is carried forward: lr=0.001,dropout=0.25")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as one object.")
@click.option("--output", type=click.Path(path_type=Path), help="A folder for the report, its tables and pictures.")
@verb
def audit(table: Path, output: Path | None, as_json: bool, **asked: Any) -> int:  # noqa: ANN401 the options of a question
    """Judge a results table of any origin: the same decision, alarms and report as for a sweep.

    \b
    example:  hpc-sweep audit results.csv --metric val/accuracy --mode max --output audit
    """  # noqa: D301 because click reads the \b
    if output is not None:
        auditing.refuse_sweep(paths.Sweep(output))
    asked["params"] = [name.strip() for name in asked["params"].split(",") if name.strip()]
    asked["carried"] = auditing.assignments(asked["carried"]) if asked["carried"] else None
    answer = auditing.audit(table, auditing.Question(**asked))
    if output is not None:
        auditing.write_audit(answer, paths.Sweep(output))
    click.echo(
        decision_text(answer.decision).rstrip() if as_json else printable("\n".join(auditing.audit_lines(answer)))
    )
    if output is not None and not as_json:
        click.echo(f"{'Report:':18}{near(paths.Sweep(output).report_html)}")
    return 1 if answer.decision.winner is None else 0
