"""How fast the records are: appends per second, and the merge of many results beside reading the same bytes.

Run it on the file system that is to be measured, from the repository's root::

    python benchmarks/records.py --folder /scratch/me                    the appends, with real fsyncs
    python benchmarks/records.py --folder /dev/shm --results 100000      the merge, without the disk's share

Compare the merge with the row above it: what a reader costs that only reads. Each row of the merge is a fresh process.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hpc_sweep import ledger, paths, records
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part
from hpc_sweep.records import Kind
from hpc_sweep.trial import Trial

SWEEP = "benchmark"
EPOCHS = 15
METRICS = ("train/loss", "train/cross_entropy", "train/accuracy", "val/cross_entropy", "val/accuracy", "val/macro_f1")


def result(number: int, draw: random.Random) -> dict[str, object]:
    """Return the line of a trial of ordinary size: six metrics, their curves over fifteen epochs."""
    curves = {name: [draw.random() for _ in range(EPOCHS)] for name in METRICS}
    return {
        "trial": f"{number:064x}",
        "attempt": "0001/1",
        "outcome": "completed",
        "metrics": {name: curve[-1] for name, curve in curves.items()},
        "curves": curves,
        "extras": {"threads": 1},
        "epochs": EPOCHS,
        "seconds": 12.5,
        "device": "cpu",
        "note": "",
        "value": None,
        "host": "node1",
        "threads": 1,
        "error": None,
    }


def append_many(folder: Path, count: int) -> None:
    """Append results to one log, one by one."""
    draw = random.Random(count)  # noqa: S311 because nothing is kept secret
    for number in range(count):
        records.append(folder, Kind.RESULT, {"results": [result(number, draw)]}, sweep=SWEEP)


def build(root: Path, results: int, shards: int, entry: int) -> paths.Sweep:
    """Make a sweep whose every trial is finished."""
    sweep, draw = paths.Sweep(root), random.Random(1)  # noqa: S311 because nothing is kept secret
    ledger.write_identity(sweep, ledger.Identity(SWEEP, Objective("val/accuracy", "max"), "", {}, "", {}, ""))
    each = results // shards
    for part in range(0, shards, 100):
        numbers = range(part * each, min(part + 100, shards) * each)
        trials = [Trial(n + 1, f"{n:064x}", (f"lr={n}",), {"lr": n}, 0, ()) for n in numbers]
        append_part(
            sweep.plan, trials, [each] * (len(numbers) // each), sweep=SWEEP, base={}, form="", first_shard=part + 1
        )
    for shard in range(shards):
        lines = [result(shard * each + n, draw) for n in range(each)]
        for first in range(0, each, entry):
            records.append(sweep.shard(shard + 1), Kind.RESULT, {"results": lines[first : first + entry]}, sweep=SWEEP)
    return sweep


def read_bytes(root: Path) -> None:
    """Read everything and understand nothing."""
    begun = time.process_time()
    size = sum(len(path.read_bytes()) for path in sorted(root.rglob("*.json*")))
    print(f"{size / 2**20:.0f} MiB in {time.process_time() - begun:.2f} CPU s;", end=" ")


def merge(root: Path) -> None:
    """Merge once, and once more with what is known."""
    begun = time.process_time()
    state = ledger.read_ledger(paths.Sweep(root))
    cold = time.process_time() - begun
    begun = time.process_time()
    again = ledger.read_ledger(paths.Sweep(root), known=state)
    on = time.process_time() - begun
    print(f"{again.counts['completed']} results in {cold:.2f} CPU s; read on in {on:.2f} CPU s;", end=" ")


def measured(what: str, root: Path) -> float:
    """Do something in a fresh process; print its time and peak memory and return the time."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--only", what, "--folder", str(root)], check=True)
    seconds = time.perf_counter() - begun
    print(f"| {what}: {seconds:.2f} s with the start of Python")
    return seconds


def appends(folder: Path, count: int, writers: int) -> None:
    """Print the appends per second of one writer, and of several into one log."""
    for processes in (1, writers):
        log = folder / f"log-{processes}"
        begun = time.perf_counter()
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(append_many, [log] * processes, [count // processes] * processes))
        seconds = time.perf_counter() - begun
        print(f"{count} appends by {processes} writers: {count / seconds:.0f} a second")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    parser.add_argument("--appends", type=int, default=400)
    parser.add_argument("--results", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--entry", type=int, default=10, help="results in one entry")
    parser.add_argument("--only", choices=("read", "merge"))
    given = parser.parse_args()
    if given.only:
        {"read": read_bytes, "merge": merge}[given.only](given.folder)
        print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", end=" ")
        return
    folder = Path(tempfile.mkdtemp(dir=given.folder, prefix="records-"))
    try:
        appends(folder, given.appends, writers=4)
        if given.results:
            sweep = build(folder / "sweep", given.results, given.shards, given.entry)
            plain = measured("read", sweep.root)
            print(f"ratio {measured('merge', sweep.root) / plain:.1f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
