"""What every array task runs: ``python -m hpc_sweep.shard <sweep> <intent>``; its index tells it which shard it is."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from pathlib import Path

from hpc_sweep import ledger, paths, records
from hpc_sweep.cluster import admission
from hpc_sweep.cluster import intent as intents
from hpc_sweep.compose import form, snapshot
from hpc_sweep.errors import SweepError, UserError
from hpc_sweep.plan import read_plan
from hpc_sweep.runtime.supervisor import Shard, supervise
from hpc_sweep.training.size import AUTO

_PASSED_ON = ("retries", "no_progress_min", "isolate")
"""The parameters of the launcher that are those of a shard."""


def main(arguments: list[str] | None = None) -> int:
    """Train what one shard owes; the exit status is 1 when a trial failed, 4 when a newer attempt took over."""
    given = _parser().parse_args(arguments)
    try:
        return _run(paths.Sweep(given.sweep.resolve()), given.intent, _index(given.index))
    except SweepError as error:
        print(error, file=sys.stderr)  # noqa: T201 because this is the job's log
        return error.exit_status


def _run(sweep: paths.Sweep, number: int, index: int) -> int:
    identity = ledger.read_identity(sweep)
    intent = intents.read(sweep, identity.sweep, number)
    refusal = admission.refusal(sweep, identity.sweep, number, index)
    if refusal:
        print(refusal)  # noqa: T201 because this is the job's log
        return 0
    shard = intent.shards[index]
    _refuse_other_code(sweep, intent, number, shard)
    _enter(sweep, intent)
    plan = read_plan(sweep.plan, sweep=identity.sweep)
    trials = plan.shard(shard)
    part = plan.part_of(trials[0])
    work = Shard(
        sweep,
        identity.sweep,
        shard,
        trials,
        part={"number": part.number, "sha256": part.sha256},
        code=snapshot.digest(root["sha256"] for root in intent.roots),
        threads=intent.threads,
        again=intent.token if intent.again else "",
        lead_seconds=intent.parameters.get("signal_delay_s") or 0,
        **{name: intent.parameters[name] for name in _PASSED_ON if name in intent.parameters},
    )
    stack_size = 1 if work.isolate else intent.parameters.get("stack_size", AUTO)
    load = functools.partial(form.loader, sweep, plan, stack_size)
    return supervise(work, load, functools.partial(form.warm, part))


def _refuse_other_code(sweep: paths.Sweep, intent: intents.Intent, number: int, shard: int) -> None:
    """Hold the shard when its code is not that of its submission: say so where `status` looks, and go."""
    try:
        snapshot.refuse_changed(sweep, intent.roots)
    except UserError as error:
        records.replace(sweep.held(shard), records.canonical({"intent": number, "reason": str(error)}) + "\n")
        raise


def _enter(sweep: paths.Sweep, intent: intents.Intent) -> None:
    """Go to the submitter's folder, with the sweep's own copy of the code before everything else."""
    path = [str(sweep.root / folder) for folder in intent.python_path]
    sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
    try:
        os.chdir(intent.folder)
    except OSError as error:
        raise UserError(
            f"The folder in which the sweep was submitted cannot be entered on this node: {error.strerror}.",
            where=f"Folder: {intent.folder}",
            next_step=f"Make it visible here, and type hpc-sweep resume {sweep.root}",
        ) from None


def _index(given: int | None) -> int:
    if given is not None:
        return given
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    if task is None:
        raise UserError(
            "Which shard of the submission is meant is not known.",
            next_step="Type --index 0 for its first shard; Slurm's array tasks know theirs.",
        )
    return int(task)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hpc_sweep.shard",
        description=__doc__,
        epilog="example: python -m hpc_sweep.shard outputs/task11/2026-01-02T10-00-00Z 1 --index 0",
    )
    parser.add_argument("sweep", type=Path, help="the sweep's folder")
    parser.add_argument("intent", type=int, help="the number of the submission in <sweep>/submissions")
    parser.add_argument("--index", type=int, help="which of its shards, from 0 (default: SLURM_ARRAY_TASK_ID)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
