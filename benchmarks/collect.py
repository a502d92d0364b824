"""How long `hpc-sweep collect` takes on a sweep of many trials, how much memory, and how large its page is.

Run it from the repository's root; every row is a fresh process, and a sweep is made anew in the folder::

    python benchmarks/collect.py --folder /dev/shm                     18, 1,000 and 100,000 trials
    python benchmarks/collect.py --folder /dev/shm --trials 1000

The bars: 18 trials collected in under 3 s; 1,000 trials in under 10 s, with a page of under 5 MB; 100,000 trials
decided (the scores, judgement, alarms and deductions from records that were read) in under 20 s and 2 GB. All seconds
are of the processor. A trial has six metrics and fifteen epochs of their curves; a configuration has three seeds.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hpc_sweep import paths, records
from hpc_sweep.analysis.decision import decide
from hpc_sweep.ledger import Identity, read_ledger, write_identity
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, differences
from hpc_sweep.records import Kind
from hpc_sweep.trial import Trial

SWEEP, EPOCHS, SEEDS, SHARD, ENTRY = "benchmark", 15, 3, 1000, 250
METRICS = ("train/loss", "train/cross_entropy", "train/accuracy", "val/cross_entropy", "val/accuracy", "val/macro_f1")
OBJECTIVE = Objective(metric="val/accuracy", mode="max", at="last", replicate="seed")
BARS: dict[int, tuple[float | None, ...]] = {
    18: (3.0, None, None, None),
    1000: (10.0, None, None, 5.0),
    100_000: (None, 20.0, 2048, None),
}
"""Trials: seconds of all, seconds of the decision, MiB of memory, MB of the page."""


def levels(configurations: int) -> dict[str, list[float]]:
    """Return the levels of a grid of four hyperparameters that has at least so many configurations."""
    side = 1
    while side**2 * 3 * 2 < configurations:
        side += 1
    return {
        "optimizer.lr": [10 ** (-4 + 3 * at / max(1, side - 1)) for at in range(side)],
        "model.dropout": [round(0.9 * at / side, 4) for at in range(side)],
        "optimizer.l2": [0.0001, 0.001, 0.01],
        "model.wide": [1.0, 2.0],
    }


def make(folder: Path, trials: int) -> paths.Sweep:
    """Write a finished sweep with real records: plan, one log for each shard, and its last words."""
    sweep, grid = paths.Sweep(folder), levels(-(-trials // SEEDS))
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    cells = [(point, seed) for point in points for seed in range(1, SEEDS + 1)][:trials]
    configs = [{"epochs": EPOCHS, "seed": seed, **point} for point, seed in cells]
    planned = [
        Trial(at + 1, f"{at:064x}", (), point, seed, tuple(differences(configs[0], config)))
        for at, ((point, seed), config) in enumerate(zip(cells, configs, strict=True))
    ]
    sizes = [min(SHARD, trials - at) for at in range(0, trials, SHARD)]
    folder.mkdir(parents=True, exist_ok=True)
    write_identity(sweep, Identity(SWEEP, OBJECTIVE, "0" * 64, {"sha256": "0" * 64}, "", {}, "2026-01-02T03:04:05Z"))
    append_part(sweep.plan, planned, sizes, sweep=SWEEP, base=configs[0], form="rebuilt")
    draw = random.Random(trials)  # noqa: S311 because nothing is kept secret
    for shard in range(1, len(sizes) + 1):
        first = (shard - 1) * SHARD
        _finish(sweep, shard, [_result(trial, draw) for trial in planned[first : first + sizes[shard - 1]]])
    return sweep


def _finish(sweep: paths.Sweep, shard: int, results: list[dict[str, Any]]) -> None:
    attempt = sweep.attempt(shard, 1)
    attempt.root.mkdir(parents=True)
    for at in range(0, len(results), ENTRY):
        records.append(sweep.shard(shard), Kind.RESULT, {"results": results[at : at + ENTRY]}, sweep=SWEEP)
    records.append(sweep.shard(shard), Kind.END, {"attempt": 1}, sweep=SWEEP)


def _result(trial: Trial, draw: random.Random) -> dict[str, Any]:
    level = 0.6 + trial.params["model.dropout"] / 20 - 0.02 * trial.params["model.wide"] + draw.gauss(0, 0.01)
    rise = [level * (1 - 0.5 / epoch) + draw.gauss(0, 0.003) for epoch in range(1, EPOCHS + 1)]
    curves = {
        name: [value if "accuracy" in name or "f1" in name else 1 - value for value in _near(rise, draw)]
        for name in METRICS
    }
    return {
        "trial": trial.id,
        "attempt": f"{trial.number:04d}/1",
        "outcome": "completed",
        "metrics": {name: curve[-1] for name, curve in curves.items()},
        "curves": curves,
        "extras": {"n": {"val": 2000}},
        "epochs": EPOCHS,
        "seconds": 10 + draw.random(),
        "device": "cpu",
        "note": "",
        "value": None,
        "host": "node1",
        "threads": 1,
        "error": None,
    }


def _near(curve: list[float], draw: random.Random) -> list[float]:
    shift = draw.gauss(0, 0.005)
    return [value + shift for value in curve]


def main() -> None:
    """Print one row for each number of trials; the exit status is 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None, help="where sweeps are made (default: a temporary folder)")
    parser.add_argument("--trials", type=int, nargs="+", default=list(BARS))
    parser.add_argument("--steps", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.steps:
        tell_steps(paths.Sweep(given.steps))
        return
    print("| trials | CPU s | reading records | decision | wall s | peak MiB | page MB | bar |")
    print("|---|---|---|---|---|---|---|---|")
    missed = [trials for trials in given.trials if not measure(given.folder, trials)]
    sys.exit(1 if missed else 0)


def measure(folder: Path | None, trials: int) -> bool:
    """Make a sweep, collect it as a person would, print the row, and return whether its bars are kept."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        sweep = make(place / "sweep", trials)
        steps = subprocess.run(
            [sys.executable, __file__, "--steps", str(sweep.root)], capture_output=True, text=True, check=True
        )
        read, decided = map(float, steps.stdout.split())
        wall, cpu, memory = spend([sys.executable, "-m", "hpc_sweep.cli", "collect", str(sweep.root)])
        page = sweep.report_html.stat().st_size / 1e6
    finally:
        shutil.rmtree(place)
    bar = BARS.get(trials, (None,) * 4)
    units = ("s", "s decision", "MiB", "MB")
    told = ", ".join(f"{most:g} {unit}" for most, unit in zip(bar, units, strict=True) if most is not None) or "-"
    row = (f"{cpu:.1f}", f"{read:.1f}", f"{decided:.1f}", f"{wall:.1f}", f"{memory:.0f}", f"{page:.2f}", told)
    print(f"| {trials} | {' | '.join(row)} |", flush=True)
    return all(most is None or found < most for found, most in zip((cpu, decided, memory, page), bar, strict=True))


def tell_steps(sweep: paths.Sweep) -> None:
    """Print the processor seconds of reading the records, and of the decision."""
    begun = time.process_time()
    state = read_ledger(sweep)
    read = time.process_time()
    decide(state)
    print(read - begun, time.process_time() - read)


def spend(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its wall time and its processor time in seconds, and its peak memory in MiB."""
    begun = time.monotonic()
    # The usage of children is the largest of all, so that each command has a process of its own above it.
    code = "import resource, subprocess, sys; s = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
    code += "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024, s)"
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=True)
    seconds, memory, status = map(float, done.stdout.split())
    if status not in {0.0, 1.0}:
        raise SystemExit(done.stderr)
    return time.monotonic() - begun, seconds, memory


if __name__ == "__main__":
    main()
