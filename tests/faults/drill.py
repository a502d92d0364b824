"""One sweep of the app under faults: how it is submitted, watched, hurried, and compared with a calm one."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpc_sweep import paths
from hpc_sweep.ledger import read_identity
from hpc_sweep.plan import read_plan
from tests.conftest import ROOT
from tests.integration.slurm_fixture import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.slurm_fixture import Devcluster

APP = ROOT / "tests" / "faults" / "app.py"
PROVENANCE = ("shard", "attempt", "seconds", "device", "error")
"""The columns of trials.csv in which a sweep under faults may differ from a calm one."""

JUDGED = (
    "hydra.launcher.objective.metric=val/accuracy",
    "hydra.launcher.objective.mode=max",
    "hydra.launcher.objective.replicate=seed",
    "hydra.launcher.identity.exclude=[pace]",
)
ON_SLURM = (
    "hydra/launcher=sharded_slurm",
    "hydra.launcher.timeout_min=10",
    "hydra.launcher.trials_per_shard=3",
    "hydra.launcher.retries=5",
    "hydra.launcher.steward.partition=cpu",
    "hydra.launcher.steward.max_rounds=20",
)
OPEN = ("planned", "running", "lost", "held")
GRID = ("x=1,3,4", "seed=1,2")


@dataclass
class Drill:
    """A sweep's folder, the cluster that it runs on, and the folder of orders to its trials.

    ``own`` are the overrides that every sweep of the app has; only our own app takes orders.
    """

    cluster: Devcluster
    root: Path
    env: dict[str, str] = field(default_factory=dict)
    app: Path = APP
    own: tuple[str, ...] = JUDGED

    @property
    def sweep(self) -> paths.Sweep:
        """Return the names of its files."""
        return paths.Sweep(self.root)

    @property
    def orders(self) -> Path:
        """Return the folder of orders, made on first use."""
        folder = self.root.with_name(f"{self.root.name}-orders")
        folder.mkdir(exist_ok=True)
        return folder

    def order(self, word, x, seed, epoch) -> None:
        """Tell one trial to misbehave."""
        (self.orders / f"{x}-{seed}-{epoch}").write_text(word)

    def command(self, *overrides, grid=GRID, launcher=ON_SLURM) -> list[str]:
        """Return the words of the command that submits the sweep, or more of it."""
        folder = f"hydra.sweep.dir={self.root}"
        partition = () if any("partition=" in word for word in overrides) else ("hydra.launcher.partition=gpu",)
        words = [*grid, folder, *launcher, *(partition if launcher is ON_SLURM else ()), *self.own, *overrides]
        orders = [f"pace.orders={self.orders}"] if self.app == APP else []
        return [sys.executable, str(self.app), "-m", *words, *orders]

    def submit(self, *overrides, grid=GRID, check=True, **options) -> subprocess.CompletedProcess[str]:
        """Submit the sweep as a person does."""
        return self.run(*self.command(*overrides, grid=grid), check=check, **options)

    def verb(self, *words, check=False, **options) -> subprocess.CompletedProcess[str]:
        """Type ``hpc-sweep <verb> <folder>``."""
        first, *rest = words
        return self.run(sys.executable, "-m", "hpc_sweep.cli", first, self.root, *rest, check=check, **options)

    def start(self, *argv, **options) -> subprocess.Popen[bytes]:
        """Start a command that a test means to disturb."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(list(map(str, argv)), env=self.environment, cwd=self.app.parent, **(quiet | options))

    def start_verb(self, verb) -> subprocess.Popen[bytes]:
        """Start a verb that a test means to disturb."""
        return self.start(sys.executable, "-m", "hpc_sweep.cli", verb, self.root)

    @property
    def environment(self) -> dict[str, str]:
        """What commands see."""
        return {**self.cluster.env, "OMP_NUM_THREADS": "1", **self.env}

    def run(self, *argv, check=False, **options) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and capture its words."""
        defaults = {"env": self.environment, "cwd": self.app.parent, "timeout": 300}
        return self.cluster.run(*argv, check=check, **(defaults | options))

    def status(self) -> dict:
        """Return what ``hpc-sweep status --json`` says."""
        done = self.verb("status", "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def claims(self) -> list[tuple[int, int, dict]]:
        """Return the claims on disk: shard, attempt, and who claims."""
        found = []
        for shard in self.sweep.shards():
            for attempt in self.sweep.attempts(shard):
                if attempt.claim.exists():
                    found += [(shard, attempt.number, json.loads(attempt.claim.read_text()))]
        return found

    def progress(self, shard=None) -> list[dict]:
        """Return the notes of progress of every attempt, or of those of one shard."""
        lines = []
        for number in [shard] if shard else self.sweep.shards():
            for attempt in self.sweep.attempts(number):
                text = attempt.progress.read_text() if attempt.progress.exists() else ""
                lines += [json.loads(line) for line in text.split("\n")[:-1]]
        return lines

    def reached(self, epochs, shard=None) -> bool:
        """Tell whether a trial has reported so many epochs."""
        return any(line.get("epoch", 0) >= epochs for line in self.progress(shard))

    def until_training(self, epochs=5, shard=1) -> None:
        """Wait until a trial of a shard has reported some epochs and has its first checkpoint."""
        self.until(lambda: self.reached(epochs, shard), f"epoch {epochs} in shard {shard}", 120)

    def hurry(self) -> None:
        """Let requeued jobs begin now: Slurm makes them wait for its credentials to expire."""
        listing = self.cluster.run("squeue", "-h", "-r", "-t", "PD", "-o", "%A|%r", check=False).stdout
        for line in listing.splitlines():
            job, _, reason = line.partition("|")
            if reason == "BeginTime":
                self.cluster.run("scontrol", "update", f"jobid={job}", "starttime=now", check=False)

    def is_over(self) -> bool:
        """Tell whether the queue is empty; while it is not, hurry what was requeued."""
        self.hurry()
        listing = self.cluster.run("squeue", "-h", check=False)
        return listing.returncode == 0 and not listing.stdout.strip()

    def until_over(self, seconds=120.0) -> None:
        """Wait until no job is left in the queue."""
        self.until(self.is_over, "the queue is empty", seconds)

    def until(self, probe, what, seconds):
        """Wait for something to become true, and return it; fail with what Slurm shows."""
        try:
            return wait_for(probe, what, seconds)
        except AssertionError as error:
            listings = [self.cluster.run(*argv, check=False) for argv in (("squeue", "-r"), ("sinfo", "-N", "-l"))]
            raise AssertionError("\n".join([str(error), *(one.stdout + one.stderr for one in listings)])) from None

    def finish(self, seconds=180.0) -> int:
        """Wait until the sweep is over; return how often a person had to type what `status` says."""
        for helps in range(5):
            self.until(lambda: self.is_over() or self.held(), "the queue is empty", seconds)
            told = self.until(self.advice, "status says that all has ended, or what to type", seconds)
            if told == "collect":
                self.verb("collect")
                return helps
            if told == "resume":
                self.verb("resume", check=True)
            else:
                self.remedy(self.status())
        raise AssertionError(self.status())

    def advice(self) -> str:
        """Return what a person types now by what `status` says; nothing while jobs run as far as it knows."""
        status = self.status()
        if sum(status["counts"][name] for name in OPEN) == 0:
            return "collect"
        if releases(status):
            return "release"
        return "resume" if "hpc-sweep resume" in self.verb("status").stdout else ""

    def held(self) -> bool:
        """Tell whether a task of the queue waits for a person."""
        listing = self.cluster.run("squeue", "-h", "-r", "-o", "%j|%r", check=False).stdout
        return any("held" in line.lower() for line in listing.splitlines() if line.startswith("hpc-sweep-"))

    def remedy(self, status) -> int:
        """Do what `status` says of held tasks; return for how many."""
        told = releases(status)
        for command in told:
            self.run(*command.split())
        return len(told)

    def table(self) -> list[dict]:
        """Return the outcome table without the columns that say how it came about."""
        with self.sweep.trials_csv.open(newline="") as file:
            return [{k: v for k, v in row.items() if k not in PROVENANCE} for row in csv.DictReader(file)]

    def decision(self) -> dict:
        """Return the decision without what it was made from."""
        decision = json.loads(self.sweep.decision_json.read_text())
        del decision["inputs"]
        return decision

    def unfinished(self) -> list[tuple[int, int]]:
        """Return x and seed of the trials that have no outcome in the logs."""
        done = set(self.published())
        trials = read_plan(self.sweep.plan, sweep=read_identity(self.sweep).sweep).trials
        return [(trial.params["x"], trial.replicate) for trial in trials if trial.id not in done]

    def published(self) -> Counter:
        """Return how often each trial's outcome stands in the logs."""
        found = Counter()
        for entry in self.sweep.root.glob("shards/*/[0-9]*.json"):
            body = json.loads(entry.read_text())["body"]
            found.update(line["trial"] for line in body.get("results", ()) if line["outcome"] is not None)
        return found


def releases(status) -> set[str]:
    """Return the commands by which `status` would have held tasks released, the steward among them."""
    told = [one["remedy"] for one in (*status["shards"], status["steward"]) if one is not None]
    return {command for command in told if command.startswith("scontrol release")}


def run_calmly(root: Path, *overrides, grid=GRID) -> Drill:
    """Run the grid on this machine, with nothing in its way, as the oracle for sweeps under faults."""
    return calmly(Drill(cluster=None, root=root), "pace.seconds=0", "pace.save_every=0", *overrides, grid=grid)


def calmly(drill: Drill, *overrides, grid) -> Drill:
    """Run a sweep on this machine, and return it."""
    launcher = ("hydra/launcher=sharded_local", "hydra.launcher.n_jobs=2", "hydra.launcher.trials_per_shard=50")
    words = drill.command(*overrides, grid=grid, launcher=launcher)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=env, cwd=drill.app.parent, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return drill


def same_as(drill: Drill, calm: Drill) -> bool:
    """Tell whether a sweep came to exactly what the calm one came to: rows, winner, verdict; each trial once."""
    assert drill.table() == calm.table()
    assert drill.decision() == calm.decision()
    assert max(drill.published().values()) == 1, drill.published()
    return True


def seconds_since(begun: float) -> float:
    """Return how long ago something was, to a tenth of a second."""
    return round(time.monotonic() - begun, 1)
