"""Stacks as a person asks for them: on the command line, in a sweep of the shipped experiment."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from hpc_sweep import ledger, paths
from tests.conftest import ROOT

SHORT = ("experiment=task11", "epochs=1", "hydra/launcher=sharded_local", "hydra.launcher.n_jobs=1")


def sweep(folder, *overrides):
    """Run a sweep as a person types it and return the finished process."""
    command = [sys.executable, ROOT / "jobs" / "train.py", "-m", *SHORT, *overrides, f"hydra.sweep.dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def table(folder):
    """Return what trials.csv says of parameters and metrics, without what differs from run to run."""
    with (folder / "merged" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name not in ("seconds", "attempt")} for row in rows]


def winner(folder):
    """Return the configuration that won."""
    return json.loads((folder / "decision" / "decision.json").read_text())["winner"]["configuration"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return the folders of task11 by stacks as the trainer likes, and one by one."""
    folders = [tmp_path_factory.mktemp("stacks") / size for size in ("auto", "1")]
    for folder in folders:
        done = sweep(folder, f"hydra.launcher.stack_size={folder.name}")
        assert done.returncode == 0, done.stderr
    return folders


def test_task11_by_stacks_is_task11_one_by_one(swept):
    """The same winner; and the same table to the last digit where the trainer found that stacks do not pay here."""
    stacked, alone = swept
    (state,) = ledger.read_ledger(paths.Sweep(stacked)).shards.values()
    (choice,) = state.choices

    assert winner(stacked) == winner(alone)
    assert len(choice["members"]) == 18
    if choice["engine"] == "sequential":
        assert table(stacked) == table(alone)


def test_a_finished_shard_is_run_again_without_torch(swept):
    """Nothing is trained, nobody imports torch, and the choice is not made again."""
    folder = swept[0]
    before = table(folder)
    command = [sys.executable, "-X", "importtime", "-m", "hpc_sweep.shard", str(folder), "2", "--index", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert [attempt.number for attempt in paths.Sweep(folder).attempts(1)] == [1, 2]
    assert "torch" not in {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert table(folder) == before


@pytest.mark.parametrize("size", ["0", "many", "-2", "1.5"])
def test_a_size_that_cannot_be_meant_is_refused_before_anything_is_written(tmp_path, size):
    """One sentence, what to type, the exit status of a wrong call, and no folder."""
    done = sweep(tmp_path / "none", f"hydra.launcher.stack_size={size}")

    assert done.returncode == 2
    assert "stack_size" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()
