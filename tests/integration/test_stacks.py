"""Stacks in shards: real supervisors and workers, real torch, and everything that can happen to K trials at once.

What is promised: a trial has the bits that it has alone where the engine is sequential, and in float64 the same up to
1e-10 for the others, whatever happened to its stack.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch

from hpc_sweep import ledger, paths, records
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, partition, read_plan
from hpc_sweep.runtime.supervisor import STOPPED, Shard, supervise
from hpc_sweep.training.choice import Choice
from hpc_sweep.training.loop import Stacking, fit_all
from hpc_sweep.training.member import Member
from hpc_sweep.trial import Quiet, Trial
from tests.conftest import wait_for
from tests.unit.training.architectures import Zoo, configuration, grid
from tests.unit.training.limited import Limited

SWEEP, CPU = "sweep-id", torch.device("cpu")
CLOSE = 1e-10


class Accidental:
    """A context that lets something happen when its trial reports an epoch."""

    def __init__(self, context, accident, saving=None):
        self._context, self._accident, self._saving = context, accident, saving

    def __getattr__(self, name):
        """Be the context in everything else."""
        return getattr(self._context, name)

    def report(self, epoch, metrics):
        """Report, then let it happen."""
        self._context.report(epoch, metrics)
        if self._accident is not None:
            self._accident(epoch)

    def keep(self, epoch, save):
        """Let something else happen before a checkpoint."""
        if self._saving is not None:
            self._saving(epoch)
        self._context.keep(epoch, save)


@dataclass
class Place:
    """A sweep of heads in one shard."""

    sweep: paths.Sweep
    configs: list[Any]
    task: Any = field(default_factory=Zoo)
    saving: Any = None

    def __post_init__(self):
        """Plan the trials, each under the id that the trainer knows it by."""
        ids = [Member.of(self.task, cfg, Quiet()).digest for cfg in self.configs]
        ledger.write_identity(self.sweep, ledger.Identity(SWEEP, Objective("val/x", "max"), "", {}, "", {}, ""))
        trials = [Trial(n, one, (), {"x": n}, None, ()) for n, one in enumerate(ids, start=1)]
        sizes = partition(len(trials), shards=1, trials_per_shard=None)
        self.part = append_part(self.sweep.plan, trials, sizes, sweep=SWEEP, base={}, form="rebuilt")
        self.by_id = dict(zip(ids, self.configs, strict=True))
        self.ids = ids

    def attempt(self, size="auto", accident=None, **more):
        """Run an attempt here and return its exit status."""
        part = {"number": 1, "sha256": self.part.sha256}
        shard = Shard(self.sweep, SWEEP, 1, read_plan(self.sweep.plan, sweep=SWEEP).shard(1), part=part, **more)
        return supervise(shard, lambda: self.trainer(size, accident))

    def trainer(self, size, accident):
        """Return what trains, with an accident in the trials that have one: called with trial and epoch."""

        def train_all(trials, listener, earlier):
            contexts = [
                Accidental(context, accident and partial(accident, trial), self.saving and partial(self.saving, trial))
                for trial, context in trials
            ]
            some = [(self.by_id[trial.id], context) for (trial, _), context in zip(trials, contexts, strict=True)]
            fit_all(self.task, some, CPU, listener, Stacking(size, earlier))

        return train_all

    def spawn(self, *arguments, **more):
        """Start an attempt in a process of its own."""
        process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(self.attempt(*arguments, **more)))
        process.start()
        return process

    def publish(self, engine, size):
        """Publish a choice for all trials, as an earlier attempt would have."""
        record = Choice(engine, size, tuple(self.ids)).record()
        records.append(self.sweep.shard(1), records.Kind.CHOICE, {"choice": record}, sweep=SWEEP, attempt="0001/1")

    def entries(self):
        """Return the entries of the shard's log."""
        return list(records.read(self.sweep.shard(1), sweep=SWEEP))

    def choices(self):
        """Return the records of all choices, in order."""
        return [entry.body["choice"] for entry in self.entries() if entry.kind is records.Kind.CHOICE]

    def rows(self):
        """Return where each trial stands."""
        return ledger.read_ledger(self.sweep).rows

    def notes(self, attempt=1):
        """Return what the supervisor of an attempt noted."""
        path = self.sweep.attempt(1, attempt).progress
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def curves(self):
        """Return the curves of all trials."""
        return [row.result["curves"] for row in self.rows()]


@pytest.fixture
def place(tmp_path):
    """Return a maker of sweeps."""
    made = []

    def make(configs=None, **more):
        made.append(Place(paths.Sweep(tmp_path / f"sweep-{len(made)}"), configs or grid("layernorm mlp", 6), **more))
        return made[-1]

    return make


def furthest(one, other):
    """Return the largest difference between two sweeps' curves, which must have the same shape."""
    return max(
        abs(x - y)
        for ours, theirs in zip(one, other, strict=True)
        for name in ours.keys() | theirs.keys()
        for x, y in zip(ours[name], theirs[name], strict=True)
    )


@pytest.mark.parametrize("size", ["auto", 4])
def test_a_shard_in_stacks_gives_the_table_of_one_by_one(place, size):
    """Every trial has an outcome; engine, size and ratio are in each result, and so is the part of the plan."""
    alone, stacked = place(), place()
    assert (alone.attempt(1), stacked.attempt(size)) == (0, 0)

    assert furthest(stacked.curves(), alone.curves()) <= CLOSE
    assert alone.choices() == []
    (choice,) = stacked.choices()
    for number, row in enumerate(stacked.rows()):
        told = row.result["extras"]
        assert told["stack"].pop("epoch_seconds") > 0
        together = choice["size"] if number < choice["size"] else len(stacked.rows()) - choice["size"]
        assert told["stack"] == {**{name: choice[name] for name in ("engine", "ratio", "why")}, "size": together}
        assert (told["threads"], told["allocator"]) == (1, "kept heap")
    parts = [entry.part for entry in stacked.entries()]
    assert parts == [{"number": 1, "sha256": stacked.part.sha256}] * len(parts)


def test_the_choice_is_in_the_log_before_the_first_step(place):
    """It is the first entry, and it is there when the first epoch is reported; the next attempt keeps to it."""
    here = place()
    seen = []

    def look(trial, epoch):
        del trial
        if epoch == 1 and not seen:
            seen.append(here.choices())
            assert seen[0], "a step was taken under a choice that nobody can read"
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()

    process = here.spawn("auto", look)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert here.entries()[0].kind is records.Kind.CHOICE

    assert here.attempt(2) == 0
    assert len(here.choices()) == 1
    assert {row.result["extras"]["stack"]["engine"] for row in here.rows()} == {here.choices()[0]["engine"]}


def test_a_stack_whose_worker_is_killed_goes_on_from_its_checkpoints(place):
    """Nobody is charged, no epoch before the last checkpoint is trained again, and the numbers are those of calm."""
    calm, here = place(), place()
    for one in (calm, here):
        one.publish("grouped", 6)
    assert calm.attempt() == 0

    def die_once(trial, epoch):
        if (trial.number, epoch) == (6, 3) and claimed_once(here.sweep.root):
            os.kill(os.getpid(), signal.SIGKILL)

    assert here.attempt(accident=die_once, save_seconds=0.0) == 0

    (died,) = [note for note in here.notes() if note["event"] == "died"]
    assert len(died["trials"]) == 6
    assert died["got_on"]
    epochs = [note["epoch"] for note in here.notes() if note["event"] == "progress" and note["trial"] == here.ids[0]]
    assert epochs == [1, 2, 3, 3, 4]
    assert all(row.result["error"] is None for row in here.rows())
    assert furthest(here.curves(), calm.curves()) <= CLOSE
    assert len(here.choices()) == 1


def claimed_once(folder):
    """Tell whether this is the first process that asks."""
    try:
        (folder / "asked").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def test_a_trial_that_kills_every_process_is_found_by_halving(place):
    """It ends up alone and is charged its tries; the other seven are completed and charged nothing."""
    here = place(grid("layernorm mlp", 8))
    here.publish("grouped", 8)

    def kill(trial, epoch):
        del epoch
        if trial.number == 6:
            os.kill(os.getpid(), signal.SIGKILL)

    assert here.attempt(accident=kill) == 1

    assert [row.status for row in here.rows()] == ["completed"] * 5 + ["failed"] + ["completed"] * 2
    assert here.rows()[5].failure["error"]["tries"] == 3
    died = [len(note["trials"]) for note in here.notes() if note["event"] == "died"]
    assert died == [8, 8, 4, 4, 2, 2]
    assert [choice["size"] for choice in here.choices()] == [8, 4, 4, 2, 2, 1, 1]
    assert furthest([row.result["curves"] for row in here.rows() if row.result], others(place, 5)) <= CLOSE


def others(place, without):
    """Return the calm curves of all of eight trials but one."""
    calm = place(grid("layernorm mlp", 8))
    calm.attempt(1)
    return [curves for index, curves in enumerate(calm.curves()) if index != without]


def test_deaths_of_whole_attempts_halve_a_stack_too(place):
    """A kernel that runs out of memory ends the supervisor as well; the next attempt counts what it finds."""
    here = place(grid("layernorm mlp", 4))
    here.publish("grouped", 4)

    def kill(trial, epoch):
        del trial, epoch
        if here.sweep.attempts(1)[-1].number <= 2:
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()

    statuses = []
    for _ in range(3):
        process = here.spawn("auto", kill)
        process.join()
        statuses.append(process.exitcode)

    assert statuses == [-9, -9, 0]
    assert [choice["size"] for choice in here.choices()] == [4, 2, 2]
    assert {row.status for row in here.rows()} == {"completed"}


def test_a_stack_that_hangs_is_ended_as_a_whole(place):
    """Silence for too long is a death of the stack, with the stacks of its threads in the log; nobody is charged."""
    here = place(grid("layernorm mlp", 3))
    here.publish("grouped", 3)

    def hang_once(trial, epoch):
        if (trial.number, epoch) == (2, 2) and claimed_once(here.sweep.root):
            signal.pause()

    assert here.attempt(accident=hang_once, no_progress_min=5 / 60) == 0

    (note,) = [note for note in here.notes() if note["event"] == "died"]
    assert note["reason"] == "timeout"
    assert "hang_once" in here.sweep.attempt(1, 1).log.read_text()


@pytest.mark.parametrize(("engine", "size"), [("sequential", 6), ("grouped", 6), ("grouped", 4), ("sequential", 1)])
def test_a_stack_that_is_asked_to_stop_saves_all_its_members_at_one_epoch(place, engine, size):
    """It leaves with the status of being stopped; the next attempt completes it, and equals a calm one."""
    configs = grid("layernorm mlp", 6, epochs=40)
    calm, here = place(configs), place(configs)
    for one in (calm, here):
        one.publish(engine, size)
    assert calm.attempt() == 0

    def ask(trial, epoch):
        if (trial.number, epoch) == (2, 7):
            os.kill(os.getppid(), signal.SIGTERM)
            wait_for(lambda: any(note["event"] == "stopping" for note in here.notes()))

    process = here.spawn("auto", ask)
    process.join()

    assert process.exitcode == STOPPED
    stopped = {note["trial"] for note in here.notes() if note["event"] == "stopped"}
    saved = {path.parent.name: path.name for path in here.sweep.attempt(1, 1).checkpoints("").glob("*/*.ckpt")}
    assert len(stopped) == size
    assert saved == dict.fromkeys(stopped, "epoch-000007.ckpt")
    assert here.attempt() == 0
    assert furthest(here.curves(), calm.curves()) <= (0.0 if engine == "sequential" else CLOSE)
    if engine == "sequential":
        assert [metrics(row) for row in here.rows()] == [metrics(row) for row in calm.rows()]


def metrics(row):
    """Return the bytes of a result's numbers."""
    return records.canonical({name: row.result[name] for name in ("metrics", "curves", "epochs", "outcome")})


def test_a_stack_that_does_not_fit_is_halved_by_the_worker_and_the_choice_published(place):
    """Eight at once, where memory has room for two: four, then two; the results say so, and nobody has failed."""
    here = place(grid("layernorm mlp", 8), task=Limited(2))
    here.publish("grouped", 8)

    assert here.attempt() == 0

    assert [(choice["engine"], choice["size"]) for choice in here.choices()] == [
        ("grouped", 8),
        ("grouped", 4),
        ("grouped", 2),
    ]
    assert {row.result["extras"]["stack"]["size"] for row in here.rows()} == {2}


def test_a_trial_that_raises_in_a_stack_is_charged_with_its_traceback(place):
    """The others are trained apart from it, and the log shows where it happened, under the trial's own head."""
    configs = [*grid("layernorm mlp", 3), configuration("layernorm mlp", label_smoothing=0.1)]
    here = place(configs, task=Faulty())
    here.publish("grouped", 4)

    assert here.attempt() == 1

    assert [row.status for row in here.rows()] == ["completed"] * 3 + ["failed"]
    assert here.rows()[3].failure["error"]["reason"] == "exception"
    log = here.sweep.attempt(1, 1).log.read_text()
    assert log.index("--- trial 4") < log.index("ValueError: no smoothing here")
    assert "in loss" in log


class Faulty(Zoo):
    """A task whose loss fails for one of the trials only."""

    def loss(self, out, y, cfg, data):
        """Fail where labels are smoothed."""
        if cfg.label_smoothing:
            raise ValueError("no smoothing here")
        return super().loss(out, y, cfg, data)


class Sick(Zoo):
    """A task whose GPU fails in the process that asks first."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def inputs(self, x, cfg, key=None):
        """Fail once, as torch does when a GPU is gone for a process."""
        if claimed_once(self.folder):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().inputs(x, cfg, key)


def test_a_gpu_error_in_a_stack_is_a_death_of_the_stack(place, tmp_path):
    """No trial is charged; another process trains the same stack, and the log has the traceback."""
    here = place(grid("layernorm mlp", 3), task=Sick(tmp_path))
    here.publish("grouped", 3)

    assert here.attempt() == 0

    (note,) = [note for note in here.notes() if note["event"] == "died"]
    assert (note["reason"], len(note["trials"])) == ("cuda", 3)
    assert "illegal memory access" in here.sweep.attempt(1, 1).log.read_text()
    assert [choice["size"] for choice in here.choices()] == [3]


@pytest.mark.parametrize("trials", [2, 3])
def test_neighbours_of_a_trial_that_needs_a_fresh_process_are_not_to_blame(place, trials):
    """Memory ends at one trial's checkpoint: that one is charged; the others go on, and train no epoch again."""
    here = place(grid("layernorm mlp", trials))
    here.publish("grouped", trials)

    def starve_once(trial, epoch):
        if (trial.number, epoch) == (1, 2) and claimed_once(here.sweep.root):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    here.saving = starve_once
    assert here.attempt(save_seconds=0.0) == 0

    assert {row.status for row in here.rows()} == {"completed"}
    failed = [line for entry in here.entries() for line in entry.body.get("results", ()) if line["outcome"] is None]
    assert [(line["trial"], line["error"]["reason"]) for line in failed] == [(here.ids[0], "cuda_oom")]
    assert [note for note in here.notes() if note["event"] == "died"] == []
    for one in here.ids[1:]:
        epochs = [note["epoch"] for note in here.notes() if note["event"] == "progress" and note["trial"] == one]
        assert epochs == [1, 2, 3, 4]


def test_an_attempt_tells_its_throughput(place):
    """Epochs, and the seconds of starting and of training, are in its last entry."""
    here = place()
    here.attempt(1)

    told = here.entries()[-1].body["throughput"]

    assert told["epochs"] == 6 * 4
    assert told["workers"] == 1
    assert told["starting_seconds"] > 0
    assert told["epochs_per_second"] == pytest.approx(told["epochs"] / told["training_seconds"], rel=0.01)
    assert ledger.read_ledger(here.sweep).shards[1].throughput == {1: told}
