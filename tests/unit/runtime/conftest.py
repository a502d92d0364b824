"""A sweep of six trials in one shard, and attempts of it in processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpc_sweep import ledger, paths, records
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, partition, read_plan
from hpc_sweep.runtime.alone import one_by_one
from hpc_sweep.runtime.supervisor import Shard, supervise
from hpc_sweep.trial import Outcome, Result, StoppedError, Trial

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP = "sweep-id"


def scores(trial, context):
    """Train as the simplest task does."""
    context.report(1, {"val/score": float(trial.params["x"])})
    return Result(Outcome.COMPLETED, {"val/score": float(trial.params["x"])}, epochs=1)


@dataclass(frozen=True)
class House:
    """One sweep with one shard, and what a test does with it."""

    sweep: paths.Sweep
    notes: Path

    def shard(self, **more: Any) -> Shard:
        """Return the only shard."""
        return Shard(self.sweep, SWEEP, 1, read_plan(self.sweep.plan, sweep=SWEEP).shard(1), **more)

    def attempt(self, train: Callable[..., Any] = scores, **more: Any) -> int:
        """Run an attempt here and return its exit status."""
        return supervise(self.shard(**more), lambda: one_by_one(train))

    def spawn(self, train: Callable[..., Any] = scores, **more: Any) -> Any:
        """Start an attempt in a process of its own."""
        process = multiprocessing.get_context("fork").Process(
            target=lambda: sys.exit(supervise(self.shard(**more), lambda: one_by_one(train)))
        )
        process.start()
        return process

    def ledger(self) -> ledger.Ledger:
        """Read the state of the sweep."""
        return ledger.read_ledger(self.sweep)

    def row(self, number: int) -> ledger.Row:
        """Return where a trial stands."""
        return self.ledger().rows[number - 1]

    def note(self, line: str) -> int:
        """Note something from any process; return how often it has been noted before."""
        before = self.noted().count(line)
        with self.notes.open("a") as file:
            file.write(line + "\n")
        return before

    def noted(self) -> list[str]:
        """Return what was noted, in order."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def kill_supervisor(self, trial: Trial) -> None:
        """Kill, from a trial, the process that watches it, as soon as that has noted that the trial began."""
        progress = self.sweep.attempts(1)[-1].progress
        while f'"{trial.id}"' not in progress.read_text():
            time.sleep(0.001)
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    def lines(self, trial: str) -> list[dict[str, Any]]:
        """Return everything that the shard's log says of a trial, in order."""
        entries = records.read(self.sweep.shard(1), sweep=SWEEP)
        return [line for entry in entries for line in entry.body.get("results", ()) if line["trial"] == trial]

    def ends(self) -> int:
        """Count the attempts that came to their end."""
        return sum(entry.kind is records.Kind.END for entry in records.read(self.sweep.shard(1), sweep=SWEEP))


@pytest.fixture
def house(tmp_path):
    """Return a sweep of six trials in one shard."""
    place = paths.Sweep(tmp_path / "sweep")
    place.root.mkdir()
    ledger.write_identity(place, ledger.Identity(SWEEP, Objective("val/score", "max"), "", {}, "", {}, ""))
    trials = [Trial(n, f"id{n}", (f"x={n}",), {"x": n}, None, ()) for n in range(1, 7)]
    append_part(place.plan, trials, partition(6, shards=1, trials_per_shard=None), sweep=SWEEP, base={}, form="rebuilt")
    return House(place, tmp_path / "notes")


@pytest.fixture
def sweep(house):
    """Return the sweep itself."""
    return house.sweep


@dataclass
class Counting:
    """A task without torch that counts epochs, keeps them in checkpoints, and can be cut at any of them.

    Its result depends on every epoch: a wrong resume shows.
    """

    house: House
    epochs: int = 5
    cut: Callable[[Trial, int], None] | None = None

    def __call__(self, trial, context):
        """Train."""
        epoch, digest = newest(context.checkpoint_dir)
        while epoch < self.epochs:
            if self.cut is not None:
                self.cut(trial, epoch + 1)
            epoch, digest = epoch + 1, records.digest([digest, trial.id, epoch])
            self.house.note(f"{trial.id} {epoch}")
            context.report(epoch, {"val/score": float(epoch)})
            context.keep(epoch, lambda: save(context.checkpoint_dir, epoch, digest))  # noqa: B023 because it is called now
        return Result(Outcome.COMPLETED, {"val/score": float(int(digest[:8], 16))}, epochs=epoch)


def save(folder, epoch, digest):
    """Keep a state as the real checkpoints are kept: whole, two generations."""
    folder.mkdir(parents=True, exist_ok=True)
    records.replace(folder / f"epoch-{epoch:06d}.ckpt", json.dumps([epoch, digest]))
    for path in sorted(folder.glob("epoch-*"))[:-2]:
        path.unlink()


def newest(folder):
    """Return the newest state, or the one before the first epoch."""
    found = sorted(folder.glob("epoch-*.ckpt"))
    return tuple(json.loads(found[-1].read_text())) if found else (0, "")


@pytest.fixture
def counting():
    """Return the class of the counting task."""
    return Counting


@pytest.fixture
def wait_for():
    """Wait until a condition holds."""

    def wait(condition, seconds=30):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.01)

    return wait


@pytest.fixture
def running():
    """Tell whether a process is there and no zombie."""

    def look(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    return look


@pytest.fixture
def polite():
    """Return a task that stops as soon as it is asked, and never ends otherwise."""

    def train(trial, context):
        del trial
        context.report(1, {})
        while not context.stop_requested:
            time.sleep(0.005)
        raise StoppedError

    return train


@pytest.fixture
def deaf(house):
    """Return a task that never looks whether it should stop, and notes its process."""

    def train(trial, context):
        del context
        house.note(f"{trial.id} {os.getpid()}")
        while True:
            time.sleep(0.05)

    return train
