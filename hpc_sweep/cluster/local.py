"""Running shards on this machine: one warm process for each shard, a bounded number at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster import script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep import paths

LOOK_SECONDS = 0.2


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def run(sweep: paths.Sweep, sweep_id: str, intent: intents.Intent, *, at_once: int, trials: int) -> None:
    """Run the shards of an intent to their end, `at_once` of them at a time; what they find is in their logs."""
    shards = intent.shards
    number = intents.publish(sweep, sweep_id, intent, lambda number: script.shard_command(sweep, number) + "\n")
    sweep.job_output.mkdir(parents=True, exist_ok=True, mode=0o700)
    waiting, running = list(range(len(shards))), list[subprocess.Popen[bytes]]()
    with _progress() as progress:
        bar = progress.add_task("trials", total=trials)
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(_start(sweep, number, waiting.pop(0)))
                _wait_a_little(running)
                running = [process for process in running if process.poll() is None]
                progress.update(bar, completed=finished(sweep, shards))
        finally:
            for process in running:
                process.terminate()


def finished(sweep: paths.Sweep, shards: Sequence[int]) -> int:
    """Count the trials that ended in the newest attempts of the shards."""
    attempts = [found[-1] for shard in shards if (found := sweep.attempts(shard))]
    return sum(attempt.results.read_bytes().count(b"\n") for attempt in attempts if attempt.results.exists())


def _start(sweep: paths.Sweep, intent: int, index: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-u", "-P", "-m", "hpc_sweep.shard", str(sweep.root), str(intent), "--index", str(index)]
    with Path(sweep.job_output / f"{intent:06d}_{index}.log").open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)


def _wait_a_little(running: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in running):
        time.sleep(LOOK_SECONDS / 10)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
