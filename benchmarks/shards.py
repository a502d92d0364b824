"""What a warm shard saves: 18 trials in one process, against a process for each.

usage:    python benchmarks/shards.py [--work NAME,...] [--trials K] [--epochs N,...] [--no-strace]
example:  OMP_NUM_THREADS=1 python benchmarks/shards.py --epochs 3,15

Compared are the CPU seconds of whole processes, imports included, for the same trials by the same code, and the calls
that open or look at files (strace). ``process per trial`` trains each in a Python of its own; ``shard`` trains all of
them in one, with ``stack_size=auto``. ``task11`` is the shipped CNN on the embedded data; the heads of
``workloads.py`` take 5,705 embeddings, as many as IRMAS has clips. Metrics have to be equal but for rounding.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONF = Path(__file__).resolve().parent.parent / "conf"
FILE_CALLS = "trace=%file"

Results = list[list[Any]]
"""The metrics of each trial, and its engine."""

EMBEDDINGS = 5705 * 8 // 7
"""An eighth of them validates."""


def main() -> None:
    """Run both ways for each work and number of epochs and print ratios."""
    given = _parser().parse_args()
    if given.child:
        return _train(given.child, json.loads(Path(given.configs).read_text()))
    for work, epochs in itertools.product(given.work.split(","), map(int, given.epochs.split(","))):
        _compare(work, configurations(work, epochs, given.trials), epochs)
    if given.strace:
        configs = configurations("task11", 1, given.trials)
        one, all_of_them = _file_calls(configs[:1]), _file_calls(configs)
        print(f"calls on files for each trial: process per trial {one}, shard {all_of_them / given.trials:.0f}")
        print(f"  1/{one * given.trials / all_of_them:.1f} of a process per trial")
    return None


def _compare(work: str, configs: list[dict[str, object]], epochs: int) -> None:
    apart, together = _each(work, configs), _process(work, configs)
    engine = together[2][0][1]
    far = max(_difference(one, other) for one, other in zip(apart[2], together[2], strict=True))
    print(f"{work}, {len(configs)} trials of {epochs} epochs      CPU s   peak MiB")
    print(f"  process per trial            {apart[0]:7.1f}   {apart[1]:7.0f} each")
    print(f"  shard, engine {engine:14} {together[0]:7.1f}   {together[1]:7.0f}")
    print(f"  {apart[0] / together[0]:.2f} times less CPU; largest difference of any metric {far:.2g}", flush=True)


def configurations(work: str, epochs: int, trials: int) -> list[dict[str, object]]:
    """Return the resolved configurations of the trials."""
    return task11(epochs)[:trials] if work == "task11" else _heads(work, epochs, trials)


def task11(epochs: int) -> list[dict[str, object]]:
    """Return the resolved configurations of task11's trials."""
    from hydra import compose, initialize_config_dir  # noqa: PLC0415 because the children must not import Hydra
    from omegaconf import OmegaConf  # noqa: PLC0415 as above

    made = []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for dropout, rate, l2 in itertools.product((0.3, 0.4, 0.5), (0.001, 0.0005, 0.0001), (0.001, 0.0001)):
            values = [f"model.dropout={dropout}", f"optimizer.lr={rate}", f"optimizer.l2={l2}"]
            cfg = compose("train", overrides=["experiment=task11", "device=cpu", f"epochs={epochs}", *values])
            made.append(OmegaConf.to_container(cfg, resolve=True))
    return made


def _heads(work: str, epochs: int, trials: int) -> list[dict[str, object]]:
    from omegaconf import OmegaConf  # noqa: PLC0415 because only the heads need torch here
    from workloads import WORKLOADS, configurations  # noqa: PLC0415 as above

    made = configurations(WORKLOADS[work], trials)
    return [{**OmegaConf.to_container(cfg), "epochs": epochs} for cfg in made]


def _train(work: str, given: list[dict[str, object]]) -> None:
    """Train in this process, which is the child whose time is counted, and print what it gave."""
    from omegaconf import OmegaConf  # noqa: PLC0415 because its import is part of what is counted

    from hpc_sweep.training.listener import Listener  # noqa: PLC0415 as above
    from hpc_sweep.trial import Quiet  # noqa: PLC0415 as above

    configs = [OmegaConf.create(config) for config in given]
    for cfg in configs:
        OmegaConf.set_readonly(cfg, value=True)
    one, several = _doors(work)
    left = {}
    if len(configs) == 1:
        left[0] = one(configs[0], Quiet())
    else:
        listener = Listener(lambda ending: left.__setitem__(ending.index, ending.result))
        several([(cfg, Quiet()) for cfg in configs], listener)
    print(json.dumps([[left[k].metrics, left[k].extras["stack"]["engine"]] for k in range(len(configs))]))


def _doors(work: str) -> tuple[Callable[..., Any], Callable[..., None]]:
    """Return what trains one trial of a work, and what trains several."""
    if work == "task11":
        from hpc_sweep import tasks  # noqa: PLC0415 because its import is part of what is counted

        return tasks.train, tasks.train_all

    import torch  # noqa: PLC0415 as above
    from workloads import WORKLOADS, Bench  # noqa: PLC0415 as above

    from hpc_sweep.training.loop import Stacking, fit, fit_all  # noqa: PLC0415 as above

    task, cpu = Bench(WORKLOADS[work], EMBEDDINGS), torch.device("cpu")
    return (
        lambda cfg, context: fit(task, cfg, context, cpu),
        lambda trials, listener: fit_all(task, trials, cpu, listener, Stacking("auto")),
    )


def _each(work: str, configs: list[dict[str, object]]) -> tuple[float, float, Results]:
    """Train each in a process of its own; return the CPU seconds of all, the MiB of the largest, and what they gave."""
    runs = [_process(work, [config]) for config in configs]
    return sum(run[0] for run in runs), max(run[1] for run in runs), [run[2][0] for run in runs]


def _process(work: str, configs: list[dict[str, object]], before: tuple[str, ...] = ()) -> tuple[float, float, Results]:
    """Train these in one process; return its CPU seconds, its peak MiB, and what it printed."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as given, tempfile.TemporaryFile("w+") as output:
        json.dump(configs, given)
        given.flush()
        command = [*before, sys.executable, __file__, "--child", work, "--configs", given.name]
        child = subprocess.Popen(command, stdout=output, env={**os.environ, "OMP_NUM_THREADS": "1"})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"a process ended with status {child.returncode}")
        output.seek(0)
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.load(output)


def _file_calls(configs: list[dict[str, object]]) -> int:
    """Return how many system calls with a path one process made that trains these."""
    with tempfile.NamedTemporaryFile("r") as counted:
        _process("task11", configs, ("strace", "-f", "-qq", "-o", counted.name, "-e", FILE_CALLS))
        return sum(1 for line in counted if "(" in line)


def _difference(one: list[Any], other: list[Any]) -> float:
    return max(abs(value - other[0][name]) for name, value in one[0].items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="task11,head 512,head 128", metavar="NAME,...")
    parser.add_argument("--trials", type=int, default=18, metavar="K")
    parser.add_argument("--epochs", default="3,15", metavar="N,...")
    parser.add_argument("--no-strace", dest="strace", action="store_false")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--configs", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()
