"""``hpc-sweep status``: where a sweep stands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpc_sweep import ledger, records
from hpc_sweep.cli.verb import FOLDER, open_sweep, verb
from hpc_sweep.cluster import reasons, states
from hpc_sweep.report.status import seconds_left, status_lines, unfit_lines
from hpc_sweep.report.terminal import near
from hpc_sweep.report.throughput import throughput_lines, throughputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep import paths


@click.command()
@FOLDER
@click.option("--watch", is_flag=True, help="Print it again every ten seconds until nothing is left to wait for.")
@click.option("--json", "as_json", is_flag=True, help="Print one object instead of lines.")
@verb
def status(folder: Path, watch: bool, as_json: bool) -> int:
    """Print how many trials are planned, running, done, failed, lost or held, and why."""
    sweep = open_sweep(folder)
    while True:
        state, found = _look(sweep)
        click.echo(_as_json(state, found, sweep) if as_json else _as_text(state, found, sweep))
        waiting = sum(state.counts[name] for name in ("planned", "running"))
        if not (watch and waiting):
            return 1 if state.counts["failed"] or state.problems else 0
        time.sleep(states.CALL_SECONDS)


def _look(sweep: paths.Sweep) -> tuple[ledger.Ledger, dict[int, states.Place]]:
    found = states.now(sweep)
    over, held = (states.standing(found, wanted) for wanted in (states.Standing.OVER, states.Standing.HELD))
    return ledger.read_ledger(sweep, over=over, held=held), found


def _as_text(state: ledger.Ledger, found: Mapping[int, states.Place], sweep: paths.Sweep) -> str:
    open_shards = {row.trial.shard for row in state.rows if row.result is None and row.failure is None}
    places = [place for shard, place in found.items() if shard in open_shards | {reasons.STEWARD}]
    lost, here = state.counts["lost"], Path(near(sweep.root))
    todo = [f"{lost} trials were lost with their jobs. Type: {reasons.command('resume', here)}"] if lost else []
    running = states.standing(found, states.Standing.RUNNING)
    told = throughput_lines(throughputs(sweep, state, running), running)
    return "\n".join([*status_lines(state), *unfit_lines(sweep, state), *told, *reasons.explained(places, here), *todo])


def _as_json(state: ledger.Ledger, found: Mapping[int, states.Place], sweep: paths.Sweep) -> str:
    seconds = seconds_left(state)
    stands = {shard: {**vars(place), "remedy": reasons.remedy(place, sweep.root)} for shard, place in found.items()}
    rates = throughputs(sweep, state, states.standing(found, states.Standing.RUNNING))
    shards = [shard for shard in stands if shard != reasons.STEWARD]
    return records.canonical(
        {
            "schema": 1,
            "sweep": state.identity.sweep,
            "counts": state.counts,
            "eta_seconds": None if seconds is None else round(seconds),
            "shards": [
                stands[shard] | {"throughput": rates[shard].as_json() if shard in rates else None} for shard in shards
            ],
            "steward": stands.get(reasons.STEWARD),
            "problems": list(state.problems),
        }
    )
