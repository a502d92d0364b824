"""The command ``hpc-sweep``: what a person asks of a sweep that is there."""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpc_sweep import __version__, ledger, paths, records
from hpc_sweep.cluster import reasons, states
from hpc_sweep.cluster import resume as going_on
from hpc_sweep.errors import SweepError
from hpc_sweep.plan import read_plan
from hpc_sweep.report import audit as auditing
from hpc_sweep.report.collect import collect as collect_sweep
from hpc_sweep.report.collect import decision_text
from hpc_sweep.report.summary import near, printable, seconds_left, status_lines, summary
from hpc_sweep.report.trial_log import find_trial, trial_log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpc_sweep.analysis.decision import Decision

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
        except OSError as error:
            click.echo(f"{error.strerror or error}\n{error.filename or ''}".strip(), err=True)
            sys.exit(2)

    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Ask a sweep where it stands, go on with it, and merge what it found.

    \b
    example:  hpc-sweep status  outputs/task11/2026-01-02T10-00-00Z
              hpc-sweep resume  outputs/task11/2026-01-02T10-00-00Z
              hpc-sweep collect outputs/task11/2026-01-02T10-00-00Z
    """  # noqa: D301 because click reads the \b


@main.command()
@FOLDER
@click.option("--watch", is_flag=True, help="Print it again every ten seconds until nothing is left to wait for.")
@click.option("--json", "as_json", is_flag=True, help="Print one object instead of lines.")
@_verb
def status(folder: Path, watch: bool, as_json: bool) -> int:
    """Print how many trials are planned, running, done, failed, lost or held, and why."""
    sweep = _open(folder)
    while True:
        state, found = _look(sweep)
        click.echo(_as_json(state, found, sweep) if as_json else _as_text(state, found, sweep))
        waiting = sum(state.counts[name] for name in ("planned", "running"))
        if not (watch and waiting):
            return 1 if state.counts["failed"] or state.problems else 0
        time.sleep(states.CALL_SECONDS)


@main.command()
@FOLDER
@click.option("--choose", type=int, help="Carry this run on instead of the pick; the pick's own number takes it back.")
@click.option("--reason", default="", help="Why, for the record; a choice without a reason is refused.")
@_verb
def collect(folder: Path, choose: int | None, reason: str) -> int:
    """Merge the results into tables, decide, and write the report; safe at any time, twice at once."""
    return _collected(_open(folder), None if choose is None else (choose, reason))


@main.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--metric", required=True, help="The column that is judged, for example val/accuracy.")
@click.option("--mode", required=True, type=click.Choice(["max", "min"]), help="Whether more or less is better.")
@click.option("--params", default="", help="The columns that were varied, separated by commas; else they are found.")
@click.option("--replicate", help="The column that repeats a configuration, normally the seed; else it is found.")
@click.option("--n", "examples", type=click.IntRange(1), help="How many examples the metric was measured on.")
@click.option("--carried", default="", help="A configuration that is carried forward: lr=0.001,dropout=0.25")
@click.option("--json", "as_json", is_flag=True, help="Print the decision as one object.")
@click.option("--output", type=click.Path(path_type=Path), help="A folder for the report, its tables and pictures.")
@_verb
def audit(table: Path, output: Path | None, as_json: bool, **asked: Any) -> int:  # noqa: ANN401 the options of a question
    """Judge a results table of any origin: the same decision, alarms and report as for a sweep.

    \b
    example:  hpc-sweep audit results.csv --metric val/accuracy --mode max --output audit
    """  # noqa: D301 because click reads the \b
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


@main.command()
@FOLDER
@click.option("--failed", is_flag=True, help="Train failed trials again, too.")
@click.option("--allow-code-change", is_flag=True, help="Let shards run whose code was edited since the submission.")
@_verb
def resume(folder: Path, failed: bool, allow_code_change: bool) -> int:
    """Submit what has no outcome and tries left; a local sweep goes on here."""
    sweep = _open(folder)
    resumed = going_on.resume(sweep, again=failed, allow_code_change=allow_code_change)
    click.echo(resumed.text)
    return _collected(sweep) if resumed.over else 0


@main.command()
@FOLDER
@_verb
def cancel(folder: Path) -> int:
    """End every job of the sweep; what was found stays, and `resume` goes on."""
    click.echo(going_on.cancel(_open(folder)))
    return 0


@main.command()
@FOLDER
@click.argument("trial")
@_verb
def logs(folder: Path, trial: str) -> int:
    """Print what one trial printed, by its number or the beginning of its id."""
    sweep = _open(folder)
    plan = read_plan(sweep.plan, sweep=ledger.read_identity(sweep).sweep)
    click.echo(printable(trial_log(sweep, find_trial(plan.trials, trial))))
    return 0


def _open(folder: Path) -> paths.Sweep:
    sweep = paths.Sweep(folder.resolve())
    ledger.read_identity(sweep)
    return sweep


def _collected(sweep: paths.Sweep, chosen: tuple[int, str] | None = None) -> int:
    decision = collect_sweep(sweep, over=states.over(sweep), chosen=chosen)
    click.echo(summary(sweep, decision))
    return 1 if decision.winner is None or decision.coverage["failed"] or _is_damaged(decision) else 0


def _is_damaged(decision: Decision) -> bool:
    """Tell whether trials lack an outcome while a record cannot be read: what it held may be theirs."""
    return bool(decision.coverage["missing"]) and any(alarm.kind == "unreadable_records" for alarm in decision.alarms)


def _look(sweep: paths.Sweep) -> tuple[ledger.Ledger, dict[int, states.Place]]:
    found = states.now(sweep)
    over, held = (states.standing(found, wanted) for wanted in (states.Standing.OVER, states.Standing.HELD))
    return ledger.read_ledger(sweep, over=over, held=held), found


def _as_text(state: ledger.Ledger, found: Mapping[int, states.Place], sweep: paths.Sweep) -> str:
    open_shards = {row.trial.shard for row in state.rows if row.result is None and row.failure is None}
    places = [place for shard, place in found.items() if shard in open_shards | {reasons.STEWARD}]
    lost, here = state.counts["lost"], Path(near(sweep.root))
    todo = [f"{lost} trials were lost with their jobs. Type: {reasons.command('resume', here)}"] if lost else []
    return "\n".join([*status_lines(state), *reasons.explained(places, here), *todo])


def _as_json(state: ledger.Ledger, found: Mapping[int, states.Place], sweep: paths.Sweep) -> str:
    seconds = seconds_left(state)
    stands = {shard: {**vars(place), "remedy": reasons.remedy(place, sweep.root)} for shard, place in found.items()}
    return records.canonical(
        {
            "schema": 1,
            "sweep": state.identity.sweep,
            "counts": state.counts,
            "eta_seconds": None if seconds is None else round(seconds),
            "shards": [stand for shard, stand in stands.items() if shard != reasons.STEWARD],
            "steward": stands.get(reasons.STEWARD),
            "problems": list(state.problems),
        }
    )


if __name__ == "__main__":
    main()
