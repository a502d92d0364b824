"""Running shards on this machine: one warm process for each shard, a bounded number at once."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster import script
from hpc_sweep.cluster.states import Standing, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Intent

LOOK_SECONDS = 0.2


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def idle(sweep: paths.Sweep, shards: Sequence[int]) -> list[int]:
    """Return those of some shards that no process of this machine works on."""
    found = places(sweep, shards, None)
    return [shard for shard in shards if found[shard].standing is not Standing.RUNNING]


def run(sweep: paths.Sweep, sweep_id: str, template: Intent, shards: Sequence[int], *, trials: int) -> None:
    """Run shards to their end, as many at a time as the launcher was told; what they find is in their logs."""
    intent = template.over(shards, role=intents.ARRAY)
    number = 0
    while not number:
        after = intents.last(sweep)
        number = intents.publish(
            sweep, sweep_id, intent, lambda number: script.command(sweep, number) + "\n", after=after
        )
    sweep.job_output.mkdir(parents=True, exist_ok=True, mode=0o700)
    at_once = intent.parameters.get("n_jobs") or cores()
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
    command = [*script.arguments(sweep, intent), "--index", str(index)]
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
