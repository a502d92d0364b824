"""One trial as a person runs it: what it says at its end."""

import json
import os
import subprocess
import sys

from tests.conftest import ROOT

SHORT = ("experiment=task11", "epochs=1", "batch_size=64", "device=cpu")


def train(folder, *overrides):
    """Run one trial and return what it said, and its result."""
    command = [sys.executable, ROOT / "jobs" / "train.py", *SHORT, *overrides, f"hydra.run.dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr, json.loads((folder / "result.json").read_text())


def test_a_trial_that_diverges_says_so_in_one_line(tmp_path):
    """With what was typed and what to change; a trial that reaches its end has nothing to say."""
    said, result = train(tmp_path / "diverged", "optimizer.lr=1e30")
    calm, _ = train(tmp_path / "calm")

    assert result["outcome"] == "diverged"
    (line,) = [line for line in said.splitlines() if "diverged" in line]
    assert "optimizer.lr=1e30" in line
    assert line.endswith(result["note"])
    assert "diverged" not in calm
