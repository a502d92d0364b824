"""The long run of a winner: what was promised stays what it was, and two processes never train one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_sweep import records
from hpc_sweep.runtime.claim import notes
from tests.conftest import ROOT


def run(script, *arguments):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, script), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return a sweep of two configurations of which a person chose the one that is not the pick."""
    folder = tmp_path_factory.mktemp("production") / "sweep"
    arguments = ("-m", "epochs=1", "batch_size=64", "model.dropout=0.3,0.5", f"hydra.sweep.dir={folder}")
    done = run([ROOT / "jobs" / "train.py"], *arguments)
    assert done.returncode == 0, done.stderr
    pick = json.loads((folder / "decision" / "decision.json").read_text())["winner"]["trials"][0]
    chosen = run(["-m", "hpc_sweep.cli"], "collect", folder, "--choose", 3 - pick, "--reason", "a smaller *model*")
    assert chosen.returncode == 0, chosen.stderr
    return folder, pick


def production(folder, *more):
    return run([ROOT / "jobs" / "production.py"], f"sweep={folder}", "epochs=2", *more)


def the_run(folder, batch_size=64) -> Path:
    """Return the folder of the only production run with this batch size."""
    configs = folder.glob("production/*/config.yaml")
    (found,) = (path.parent for path in configs if f"batch_size: {batch_size}\n" in path.read_text())
    return found


def test_the_choice_of_a_person_is_trained_and_its_promise_stays(swept):
    """The report has the chosen run's own promise, with the reason, also after the choice was taken back."""
    folder, pick = swept
    first = production(folder)
    promise = json.loads((the_run(folder) / "promise.json").read_text())
    back = run(["-m", "hpc_sweep.cli"], "collect", folder, "--choose", pick, "--reason", "as it was")
    (the_run(folder) / "result.json").unlink()
    run(["-m", "hpc_sweep.cli"], "collect", folder, "--choose", 3 - pick, "--reason", "another reason")
    again = production(folder)

    assert first.returncode == 0, first.stderr
    assert f"run {3 - pick}, trained further" in first.stdout
    assert "The choice of a person" in first.stdout
    assert promise["run"] == 3 - pick
    assert promise["reason"] == "a smaller *model*"
    assert back.returncode == 0, back.stderr
    assert again.returncode == 0, again.stderr
    assert "another reason" not in again.stdout
    assert json.loads((the_run(folder) / "promise.json").read_text()) == promise


def test_a_run_that_a_living_process_trains_is_refused(swept):
    """The claim of this very process, which lives, turns another one away in a sentence."""
    folder, _ = swept
    assert production(folder, "batch_size=48").returncode == 0
    other = the_run(folder, batch_size=48)
    (other / "result.json").unlink()
    last = max(other.glob("claim-*.json"))
    assert records.publish(last.with_name("claim-0002.json"), records.canonical(notes()) + "\n")

    refused = production(folder, "batch_size=48")

    assert refused.returncode == 2
    assert f"is being trained by process {os.getpid()}" in refused.stderr
    assert "Traceback" not in refused.stderr
