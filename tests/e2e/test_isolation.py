"""Isolation as a person asks for it: the shipped experiment, a process for each trial, and who imports torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hpc_sweep import ledger, paths, records
from tests.conftest import ROOT

SHORT = (
    "experiment=task11",
    "epochs=1",
    "device=cpu",
    "model.dropout=0.3,0.4,0.5",
    "optimizer.lr=0.001",
    "optimizer.l2=0.001",
    "hydra/launcher=sharded_local",
    "hydra.launcher.n_jobs=1",
    "hydra.launcher.shards=1",
    "hydra.launcher.stack_size=1",
)


def sweep(folder, isolate):
    """Run a sweep as a person types it, with a line for every import in the logs, and return its records."""
    command = [sys.executable, ROOT / "jobs" / "train.py", "-m", *SHORT, f"hydra.sweep.dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run(
        [*command, f"hydra.launcher.isolate={isolate}"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return paths.Sweep(folder)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return one sweep of isolated trials and one of trials that share a worker."""
    return [sweep(tmp_path_factory.mktemp("isolation") / isolate, isolate) for isolate in ("true", "false")]


def imports_of_torch(log):
    """Count how often torch was imported by the processes that wrote a log."""
    return sum(line.rpartition("|")[2].strip() == "torch" for line in log.read_text().splitlines())


def shard_log(place):
    """Return the log of the process that supervised the only shard."""
    (log,) = place.job_output.glob("*.log")
    return log


def test_isolated_trials_of_the_shipped_task_have_the_numbers_of_a_shared_worker(swept):
    """To the last bit, whether the process was forked before torch was imported or after."""
    apart, together = (ledger.read_ledger(place) for place in swept)

    assert [state.throughput[1]["workers"] for state in (apart.shards[1], together.shards[1])] == [3, 1]
    assert [numbers(row) for row in apart.rows] == [numbers(row) for row in together.rows]


def numbers(row):
    """Return the bytes of a result's numbers."""
    return records.canonical({name: row.result[name] for name in ("metrics", "curves", "epochs", "outcome")})


def test_torch_is_imported_by_the_first_worker_and_once_more_for_all_others(swept):
    """Of a shard with one worker the supervisor never has it."""
    apart, together = swept

    assert [imports_of_torch(place.attempt(1, 1).log) for place in swept] == [1, 1]
    assert imports_of_torch(shard_log(apart)) == 1
    assert imports_of_torch(shard_log(together)) == 0
