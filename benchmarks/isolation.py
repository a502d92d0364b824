"""What isolation costs: 18 trials in one worker, in workers forked warm or cold, and in a process of their own each.

usage:    python benchmarks/isolation.py [--trials K] [--epochs N] [--rounds R]
example:  OMP_NUM_THREADS=1 python benchmarks/isolation.py --epochs 1 --rounds 3

Compared are CPU and wall seconds of whole processes, interpreter and imports included, that supervise the same trials
of task11 by the same code; the ways take turns, medians are printed. Metrics have to be equal to the last bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from hpc_sweep import ledger, paths
from hpc_sweep.compose import form
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, differences, partition, read_plan
from hpc_sweep.runtime.supervisor import Shard, supervise
from hpc_sweep.runtime.warmth import nothing
from hpc_sweep.trial import Trial

SWEEP = "isolation"

WAYS = {
    "one worker for all": {"isolate": False, "warm": True, "shards": 1},
    "isolated, forked warm": {"isolate": True, "warm": True, "shards": 1},
    "isolated, forked cold": {"isolate": True, "warm": False, "shards": 1},
    "a shard for each trial": {"isolate": False, "warm": True, "shards": None},
}


def main() -> None:
    """Time every way and print the table, or, as a child of that, supervise one shard."""
    given = _parser().parse_args()
    if given.child is not None:
        sys.exit(_supervise(paths.Sweep(Path(given.child[0])), int(given.child[1]), given.isolate, given.warm))
    from shards import task11  # noqa: PLC0415 because the children must not import Hydra's composing

    configs = task11(given.epochs)[: given.trials]
    timed: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    metrics = []
    for _ in range(given.rounds):
        for way, how in WAYS.items():
            cpu, wall, found = _run(configs, **how)
            timed[way].append((cpu, wall))
            metrics.append(found)
    if any(found != metrics[0] for found in metrics):
        sys.exit("the metrics differ between the ways")
    _print(timed, given)


def _run(configs: list[dict[str, Any]], *, isolate: bool, warm: bool, shards: int | None) -> tuple[float, float, Any]:
    """Train all configurations in one way; return CPU seconds, wall seconds and the metrics."""
    with tempfile.TemporaryDirectory() as folder:
        place = paths.Sweep(Path(folder) / "sweep")
        count = shards or len(configs)
        _plan(place, configs, count)
        usages = [_child(place, number, isolate=isolate, warm=warm) for number in range(1, count + 1)]
        rows = ledger.read_ledger(place).rows
        assert all(row.result for row in rows)
        found = [(row.result or {})["metrics"] for row in rows]
        return sum(cpu for cpu, _ in usages), sum(wall for _, wall in usages), found


def _plan(place: paths.Sweep, configs: list[dict[str, Any]], shards: int) -> None:
    place.root.mkdir()
    ledger.write_identity(place, ledger.Identity(SWEEP, Objective("val/accuracy", "max"), "", {}, "", {}, ""))
    trials = [
        Trial(number, f"id{number}", (), {"x": number}, None, differences(configs[0], config))
        for number, config in enumerate(configs, start=1)
    ]
    sizes = partition(len(trials), shards=shards, trials_per_shard=None)
    append_part(place.plan, trials, sizes, sweep=SWEEP, base=configs[0], form=form.REBUILT)


def _child(place: paths.Sweep, number: int, *, isolate: bool, warm: bool) -> tuple[float, float]:
    """Supervise one shard in a Python of its own; return its CPU seconds, those of its workers included, and wall."""
    flags = ["--isolate"] * isolate + ["--warm"] * warm
    begun = time.monotonic()
    child = subprocess.Popen([sys.executable, __file__, "--child", place.root, str(number), *flags])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"a shard ended with status {child.returncode}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begun


def _supervise(place: paths.Sweep, number: int, isolate: bool, warm: bool) -> int:
    plan = read_plan(place.plan, sweep=SWEEP)
    trials = plan.shard(number)
    shard = Shard(place, SWEEP, number, trials, isolate=isolate)
    imports = partial(form.warm, plan.part_of(trials[0])) if warm else nothing
    return supervise(shard, partial(form.loader, place, plan, 1), imports)


def _print(timed: dict[str, list[tuple[float, float]]], given: argparse.Namespace) -> None:
    print(f"{given.trials} trials of task11, {given.epochs} epochs, medians of {given.rounds} rounds")
    medians = {way: tuple(map(statistics.median, zip(*found, strict=True))) for way, found in timed.items()}
    base = medians["one worker for all"]
    for way, (cpu, wall) in medians.items():
        print(f"  {way:24} CPU {cpu:6.1f} s ({cpu / base[0]:.2f})   wall {wall:6.1f} s ({wall / base[1]:.2f})")
    print(json.dumps(timed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=18, metavar="K")
    parser.add_argument("--epochs", type=int, default=1, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="R")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--isolate", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
