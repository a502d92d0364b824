"""The verbs on a sweep that trains on this machine right now, without Slurm."""

import subprocess
import sys

import pytest

from hpc_sweep import ledger, paths
from tests.integration.slurm_fixture import wait_for
from tests.integration.sweeping import App, runs

LOCAL = (
    "hydra/launcher=sharded_local",
    "hydra.launcher.n_jobs=1",
    "hydra.launcher.shards=2",
    "hydra.launcher.objective.mode=max",
    "++how=wait",
)


@pytest.fixture
def app(tmp_path):
    """Return the app, with a folder for its notes."""
    return App.write(tmp_path / "app").with_notes(tmp_path / "notes")


@pytest.fixture
def training(app, tmp_path):
    """Return a sweep of four trials in two shards, of which the first trial waits, and the process that trains."""
    root = tmp_path / "sweep"
    command = [sys.executable, "app.py", "-m", f"hydra.sweep.dir={root}", *LOCAL, "x=1,2,3,4"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=app.folder, env=app.env, **quiet)
    wait_for(lambda: runs(tmp_path / "notes"), "the first trial runs")
    yield root, process
    (tmp_path / "notes" / "go").touch()
    process.wait(120)


def test_a_cancelled_sweep_stops_and_goes_on_where_it_was(app, training, tmp_path):
    """Cancel ends what trains and lets nothing new begin; resume trains what has no outcome."""
    root, process = training
    cancelled = app.verb("cancel", root)
    process.wait(60)
    (tmp_path / "notes" / "go").touch()
    before = app.status(root)["counts"]
    resumed = app.verb("resume", root)

    assert "Ended 1 processes here" in cancelled.stdout
    assert (before["completed"], before["running"]) == (0, 0)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert app.status(root)["counts"]["completed"] == 4


def test_a_grid_that_is_too_large_is_refused_with_its_count(app, tmp_path):
    """At once, before Hydra composes or anything is written: the ranges were likely a slip."""
    grid = ("x=range(0,1000000)", "fixed=1,2")
    refused = app.sweep(tmp_path / "sweep", "hydra/launcher=sharded_local", *grid)

    assert refused.returncode != 0
    assert "The grid has 2,000,000 trials" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "sweep").exists()


def test_records_to_which_a_process_writes_are_not_set_aside(app, training):
    """A fresh start in the folder of a sweep that runs is refused in a sentence, and nothing is moved."""
    root, _ = training
    refused = app.sweep(root, *LOCAL, "x=5", "hydra.launcher.existing=anew")

    assert refused.returncode != 0
    assert "still has jobs" in refused.stderr
    assert f"hpc-sweep cancel {root}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (root / "previous").exists()


def test_status_tells_the_throughput_of_a_shard(app, tmp_path):
    """While it runs by what it has finished, in a line and an object; when it has ended by what it recorded."""
    root = tmp_path / "sweep"
    place = (f"hydra.sweep.dir={root}", *LOCAL[:2], "hydra.launcher.shards=1", "hydra.launcher.objective.mode=max")
    process = subprocess.Popen(
        [sys.executable, "app.py", "-m", *place, "x=3", "how='',wait"], cwd=app.folder, env=app.env
    )

    def told():
        shards = app.status(root)["shards"] if (root / "submissions").exists() else [{}]
        return shards[0].get("throughput")

    running = wait_for(lambda: (found := told()) and found["trials"] and found, "a trial has ended")
    lines = app.verb("status", root).stdout.splitlines()
    (tmp_path / "notes" / "go").touch()
    process.wait(120)
    ended = told()
    recorded = ledger.read_ledger(paths.Sweep(root)).shards[1].throughput[1]

    assert (running["attempt"], running["trials"], running["epochs_per_second"]) == (1, 1, None)
    assert running["trials_per_hour"] == pytest.approx(3600 / running["seconds"], rel=0.01)
    assert 0 < running["training_seconds"] <= running["seconds"]
    assert [line for line in lines if line.startswith("Shard 1: 1 trial in 0:00:0") and " trials per hour, " in line]
    assert (ended["trials"], ended["training_seconds"]) == (2, recorded["training_seconds"])
    assert ended["seconds"] == pytest.approx(recorded["starting_seconds"] + recorded["training_seconds"])
    assert "Shard 1" not in app.verb("status", root).stdout


def test_an_app_can_end_with_a_status_that_says_that_trials_failed(app, tmp_path):
    """As the guide shows it; without it the status is Hydra's, and that of `hpc-sweep status` tells."""
    script = app.folder / "app.py"
    launcher = LOCAL[:-1]
    silent = app.sweep(tmp_path / "one", *launcher, "x=1,2", "how=fail")
    script.write_text(
        "from hpc_sweep.compose.exits import trials_failed\n"
        + script.read_text().replace("    main()\n", "    main()\n    sys.exit(trials_failed())\n")
    )
    told = app.sweep(tmp_path / "another", *launcher, "x=1,2", "how=fail")
    calm = app.sweep(tmp_path / "calm", *launcher, "x=1,2")

    assert (silent.returncode, told.returncode, calm.returncode) == (0, 1, 0), told.stderr
    assert app.verb("status", tmp_path / "one").returncode == 1
