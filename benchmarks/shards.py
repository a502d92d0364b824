"""What a warm shard saves: 18 trials in one process, against a process for each.

usage:    python benchmarks/shards.py [--trials K] [--epochs N,...] [--no-strace]
example:  OMP_NUM_THREADS=1 python benchmarks/shards.py --epochs 3,15

Compared are the CPU seconds of whole processes, imports included, for the same trials by the same code, and the calls
that open or look at files (strace). ``process per trial`` runs ``tasks.train`` in a Python of its own for each trial;
``shard`` gives all of them to ``tasks.train_all`` in one, with ``stack_size=auto``. Metrics have to be equal.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent / "conf"
FILE_CALLS = "trace=%file"

CHILD = """
import json, sys
from omegaconf import OmegaConf
from hpc_sweep import tasks
from hpc_sweep.trial import Quiet
configs = [OmegaConf.create(given) for given in json.loads(open(sys.argv[1]).read())]
for cfg in configs:
    OmegaConf.set_readonly(cfg, value=True)
left = {}
if len(configs) == 1:
    left[0] = tasks.train(configs[0], Quiet())
else:
    tasks.train_all([(cfg, Quiet()) for cfg in configs], lambda ending: left.__setitem__(ending.index, ending.result))
print(json.dumps([[left[k].metrics, left[k].extras["stack"]["engine"]] for k in range(len(configs))]))
"""


def main() -> None:
    """Run both ways for each number of epochs and print ratios."""
    given = _parser().parse_args()
    for epochs in map(int, given.epochs.split(",")):
        configs = task11(epochs)[: given.trials]
        apart, together = _cpu_of_each(configs), _cpu(configs)
        print(f"{given.trials} trials of {epochs} epochs, CPU seconds")
        print(f"  process per trial {apart[0]:7.1f}")
        engine = together[1][0][1]
        print(f"  shard             {together[0]:7.1f}   {apart[0] / together[0]:.2f} times less, engine {engine}")
        far = max(_difference(one, other) for one, other in zip(apart[1], together[1], strict=True))
        print(f"  largest difference of any metric {far:.2g}", flush=True)
    if given.strace:
        configs = task11(1)[: given.trials]
        one, all_of_them = _file_calls(configs[:1]), _file_calls(configs)
        print(f"calls on files for each trial: process per trial {one}, shard {all_of_them / given.trials:.0f}")
        print(f"  1/{one * given.trials / all_of_them:.1f} of a process per trial")


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


def _cpu_of_each(configs: list[dict[str, object]]) -> tuple[float, list[list[object]]]:
    runs = [_cpu([config]) for config in configs]
    return sum(seconds for seconds, _ in runs), [result for _, (result,) in runs]


def _cpu(configs: list[dict[str, object]]) -> tuple[float, list[list[object]]]:
    """Return the CPU seconds of one process that trains these, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = _run(configs, [])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, json.loads(output)


def _file_calls(configs: list[dict[str, object]]) -> int:
    """Return how many system calls with a path one process made that trains these."""
    with tempfile.NamedTemporaryFile("r") as counted:
        _run(configs, ["strace", "-f", "-qq", "-o", counted.name, "-e", FILE_CALLS])
        return sum(1 for line in counted if "(" in line)


def _run(configs: list[dict[str, object]], before: list[str]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(configs, file)
        file.flush()
        command = [*before, sys.executable, "-c", CHILD, file.name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def _difference(one: list[object], other: list[object]) -> float:
    ours, theirs = one[0], other[0]
    assert isinstance(ours, dict)
    assert isinstance(theirs, dict)
    return max(abs(value - theirs[name]) for name, value in ours.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=18, metavar="K")
    parser.add_argument("--epochs", default="3,15", metavar="N,...")
    parser.add_argument("--no-strace", dest="strace", action="store_false")
    return parser


if __name__ == "__main__":
    main()
