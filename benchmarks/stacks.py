"""How fast K trials train as one stack, against one after the other: all variants in turn, in one process.

usage:    python benchmarks/stacks.py [--device cpu|cuda] [--trials K] [--only TEXT] [--rounds N] [--memory] [--json F]
example:  OMP_NUM_THREADS=1 python benchmarks/stacks.py --trials 18

A figure is milliseconds for one step of one trial, the median of the rounds, and in brackets how many times as fast
that is as ``plain``: the loop that one would write, with torch's own dropout and Adam(fused=True), data on the device,
trial after trial. On a CPU it is this process's own time on one thread, so that others on the machine matter little; on
a GPU the time between two synchronisations. ``auto`` is what the trainer chooses, its ratio is that of its choice.

With ``--memory`` nothing is timed: each engine steps in a process of its own, and its peak resident memory is told,
imports included: one trial, that times K for K processes side by side, and stacks of K.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from workloads import CLASSES, GPU_WORKLOADS, WORKLOADS, Bench, Workload, configurations, model

from hpc_sweep.training import environment
from hpc_sweep.training.engines.available import ENGINES
from hpc_sweep.training.engines.base import Crew
from hpc_sweep.training.feed import Feed
from hpc_sweep.training.keys import epoch_keys
from hpc_sweep.training.member import Member
from hpc_sweep.training.race import choose
from hpc_sweep.training.state import State
from hpc_sweep.trial import Quiet

if TYPE_CHECKING:
    from hpc_sweep.training.task import Data

Variant = tuple[Callable[[], object], int]
"""What is timed, and how many trials' steps one call takes."""


def main() -> None:
    """Time every workload and print the table."""
    given = _parser().parse_args()
    device = torch.device(given.device)
    torch.set_num_threads(1)
    kept = environment.keep_heap()
    if given.peak:
        return _print_peak(given.only, given.peak, given.trials)
    if given.memory:
        return _print_memory(given.only, given.trials)
    workloads = GPU_WORKLOADS if device.type == "cuda" else WORKLOADS
    print(f"{_machine(device)}; allocator: {kept}; {given.trials} trials; {given.rounds} rounds")
    rows = []
    begun = time.monotonic()
    for name, workload in workloads.items():
        if given.only in name and time.monotonic() - begun < given.budget:
            rows.append(_measure(name, workload, device, given))
            print(_line(rows[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps({"machine": _machine(device), "rows": rows}, indent=1))
    return None


def _print_memory(only: str, trials: int) -> None:
    """Print the peak resident memory of each workload: one trial, K processes, and stacks of K."""
    print(f"{'peak MiB':24} {'one trial':>10} {f'{trials} of them':>12} {'grouped':>10} {'vmap':>10}")
    for name in WORKLOADS:
        if only in name:
            one, *stacked = (_peak(name, *way) for way in (("sequential", 1), ("grouped", trials), ("vmap", trials)))
            print(f"{name:24} {one:10} {one * trials:12} {stacked[0]:10} {stacked[1]:10}", flush=True)


def _peak(name: str, engine: str, trials: int) -> int:
    """Return the peak resident memory, in MiB, of a process that takes steps with an engine."""
    command = [sys.executable, __file__, "--peak", engine, "--only", name, "--trials", str(trials)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _print_peak(name: str, engine: str, trials: int) -> None:
    """Take some steps in this process and print its peak in MiB: Linux' VmHWM, which starts anew in a new program."""
    task, cpu = Bench(WORKLOADS[name], WORKLOADS[name].batch * 4 + 64), torch.device("cpu")
    configs = configurations(WORKLOADS[name], trials)
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    step = _engine(engine, task, members, task.data(configs[0], cpu), cpu)
    for _ in range(3):
        step()
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(told["VmHWM"].split()[0]) // 1024)


def _measure(name: str, workload: Workload, device: torch.device, given: argparse.Namespace) -> dict[str, Any]:
    """Return the row of one workload: milliseconds for one step of one trial by variant, and the trainer's choice."""
    bfloat16 = device.type == "cuda"
    task = Bench(workload, workload.batch * 4 + 64)
    configs = configurations(workload, given.trials, bfloat16=bfloat16)
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    data = task.data(configs[0], device)
    variants: dict[str, Variant] = {"plain": (_plain(workload, device, bfloat16=bfloat16), 1)}
    failed: dict[str, str] = {}
    memory: dict[str, int] = {}
    for engine in ("sequential", "grouped", "vmap", *(("packed",) if device.type == "cuda" else ())):
        taking = members[:1] if engine == "sequential" else members
        try:
            before = _allocated(device)
            variants[engine] = (_engine(engine, task, taking, data, device), len(taking))
            memory[engine] = _allocated(device) - before
        except Exception as error:  # noqa: BLE001 because an engine that cannot is a line of the table
            failed[engine] = f"{type(error).__name__}: {error}"[:200]
    times = _interleaved(variants, given.trials, given.rounds, device)
    variants.clear()
    choice = choose(task, members, data, device, forced=False)
    chosen = times.get(choice.engine.partition("-")[0], times["sequential"])
    return {
        "workload": name,
        "trials": given.trials,
        "ms": times,
        "ratio": {variant: round(times["plain"] / ms, 2) for variant, ms in times.items()},
        "auto": {"engine": choice.engine, "ratio": round(times["sequential"] / chosen, 2), "why": choice.why},
        "peak_mib": {engine: round(peak / 2**20) for engine, peak in memory.items()},
        "failed": failed,
    }


def _plain(workload: Workload, device: torch.device, *, bfloat16: bool) -> Callable[[], None]:
    """Return the step of the loop that one would write for one trial."""
    net = model(workload, 0.3).to(device)
    x, y = (
        torch.randn(workload.batch, *workload.shape, device=device),
        torch.arange(workload.batch, device=device) % CLASSES,
    )
    if x.ndim == 4:  # noqa: PLR2004 because pictures have four axes
        net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            out = net(x)
        functional.cross_entropy(out.float(), y).backward()
        optimizer.step()

    return step


def _engine(
    name: str,
    task: Bench,
    members: list[Member],
    data: Data,
    device: torch.device,
) -> Callable[[], object]:
    """Return the step of an engine, on a batch as the trainer makes it."""
    states = [State.fresh(task, member.cfg, device) for member in members]
    crew = Crew(task, members, states, data, device)
    engine = ENGINES[name](crew)
    epochs = [1] * len(members)
    batch = next(iter(Feed(task, members, data.train, device).epoch(epochs)))
    key = next(iter(epoch_keys(members, epochs, 1, crew.places(), device)))
    engine.begin()
    for _ in range(5 if device.type == "cuda" else 2):
        engine.step(batch, *key)
    return lambda: engine.step(batch, *key)


def _interleaved(variants: dict[str, Variant], trials: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Return the median milliseconds for one step of one trial, the variants timed in turn."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 2):
        for name, (step, taken) in variants.items():
            # Two steps of a whole stack at least; as many trial-steps one by one, so that all rounds weigh alike.
            calls = 2 * max(1, trials // taken) if device.type == "cpu" else 20 * max(1, trials // taken)
            begun = _clock(device)
            for _ in range(calls):
                step()
            if turn > 1:
                times[name].append((_clock(device) - begun) / calls / taken * 1e3)
    return {name: round(statistics.median(values), 4) for name, values in times.items()}


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def _allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def _line(row: dict[str, Any]) -> str:
    cells = "  ".join(f"{name} {ms:.3f} ({row['ratio'][name]:.2f})" for name, ms in row["ms"].items())
    lost = "".join(f"\n    {engine} failed: {reason}" for engine, reason in row["failed"].items())
    memory = f"\n    MiB held: {row['peak_mib']}" if any(row["peak_mib"].values()) else ""
    auto = f"\n    auto: {row['auto']['engine']} ({row['auto']['ratio']:.2f} of sequential)"
    return f"{row['workload']:24} {cells}{auto}{memory}{lost}"


def _machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, Python {platform.python_version()}, torch {torch.__version__}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--trials", type=int, default=18, metavar="K")
    parser.add_argument("--only", default="", metavar="TEXT", help="only workloads with this in their name")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument(
        "--budget", type=float, default=540.0, metavar="S", help="start no workload after so many seconds"
    )
    parser.add_argument("--memory", action="store_true", help="tell peak resident memory instead of times; on a CPU")
    parser.add_argument("--peak", metavar="ENGINE", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    main()
