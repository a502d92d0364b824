"""Isolation as a foreign app has it: a fresh process for each trial, in a sweep, in what resumes it, and on request."""

import json
import os

import pytest

from tests.integration.sweeping import App

COUNTING = """
import json, os, signal
from pathlib import Path
import hydra
import helper

@hydra.main(version_base="1.3", config_path="conf", config_name="app")
def main(cfg):
    helper.CALLS.append(cfg.x)
    notes = Path(os.environ["NOTES"])
    with (notes / "runs").open("a") as runs:
        runs.write(json.dumps([cfg.x, len(helper.CALLS), helper.IMPORTED_IN == os.getpid()]) + "\\n")
    if "die" in cfg.how and not (notes / "died").exists() and cfg.x == 2:
        (notes / "died").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()
    return float(cfg.x)

if __name__ == "__main__":
    main()
"""

SWEEP = (
    "hydra/launcher=sharded_local",
    "hydra.launcher.n_jobs=1",
    "hydra.launcher.shards=1",
    "hydra.launcher.objective.mode=max",
    "x=1,2,3,4",
)


@pytest.fixture
def app(tmp_path):
    """Return an app whose module counts, in a process, how often its task was called there."""
    app = App.write(tmp_path / "app").with_notes(tmp_path / "notes")
    (app.folder / "app.py").write_text(COUNTING)
    (app.folder / "helper.py").write_text("import os\nCALLS = []\nIMPORTED_IN = os.getpid()\n")
    return app


def runs(tmp_path):
    """Return of each run its x, the calls in its process so far, and whether that process imported the app itself."""
    return [json.loads(line) for line in (tmp_path / "notes" / "runs").read_text().splitlines()]


@pytest.mark.parametrize(("isolate", "calls"), [("true", [1, 1, 1, 1]), ("false", [1, 2, 3, 4])])
def test_the_state_of_a_foreign_module_is_fresh_for_each_isolated_trial(app, tmp_path, isolate, calls):
    """It is imported in the worker that trains, never in the supervisor, which forks the others."""
    done = app.sweep(tmp_path / "sweep", *SWEEP, f"hydra.launcher.isolate={isolate}")

    assert done.returncode == 0, done.stderr
    assert runs(tmp_path) == [[x, call, True] for x, call in zip([1, 2, 3, 4], calls, strict=True)]


def test_what_resumes_a_sweep_keeps_its_trials_apart(app, tmp_path):
    """A supervisor is killed with its worker; the trials that are left have a process each all the same."""
    app.sweep(tmp_path / "sweep", *SWEEP, "hydra.launcher.isolate=true", "++how=die")
    before = len(runs(tmp_path))
    resumed = app.verb("resume", tmp_path / "sweep")

    assert before == 2
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert runs(tmp_path) == [[x, 1, True] for x in (1, 2, 2, 3, 4)]
    assert app.status(tmp_path / "sweep")["counts"]["completed"] == 4


def test_isolated_trials_in_stacks_are_refused_before_anything_is_written(app, tmp_path):
    """One sentence with both keys and what to do, and no folder."""
    done = app.sweep(tmp_path / "sweep", *SWEEP, "hydra.launcher.isolate=true", "hydra.launcher.stack_size=18")

    assert done.returncode == 2
    assert "hydra.launcher.isolate=true" in done.stderr
    assert "stack_size=18" in done.stderr
    assert "Leave one of the two out." in done.stderr
    assert "Traceback" not in done.stderr
    assert not os.path.lexists(tmp_path / "sweep")
