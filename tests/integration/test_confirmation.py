"""``objective.confirm``: the short list runs on fresh seeds by itself, once, wherever the sweep runs."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import wait_for
from tests.integration.sweeping import ON_SLURM, App, arrays, runs, until_over

CONFIRM = tuple(f"hydra.launcher.objective.{field}" for field in ("mode=max", "replicate=fixed", "confirm=2"))
LOCAL = ("hydra/launcher=sharded_local", "hydra.launcher.n_jobs=2", *CONFIRM)
HELPER = """\
from omegaconf import OmegaConf

FACTOR = 2
OmegaConf.register_new_resolver("double", lambda value: 2 * value)
"""
SWEEP = ("x=1,2,3", "fixed=1,5")


@pytest.fixture
def app(tmp_path):
    """Return the app, with notes of its own; its replicate is `fixed`."""
    return App.write(tmp_path / "app").with_notes(tmp_path / "notes")


def decision(root):
    path = root / "decision" / "decision.json"
    return json.loads(path.read_text()) if path.exists() else {}


def ran(notes):
    """Return the pairs of x and replicate that ran, in order."""
    lines = [json.loads(line) for line in (notes / "runs").read_text().splitlines()]
    return sorted((x, fixed) for x, _, fixed, _ in lines)


def test_the_pick_runs_on_fresh_seeds_at_the_end_of_a_local_sweep(app, tmp_path):
    """One command: six trials, the decision, the pick on two new seeds, and the decision again; a second adds none."""
    root = tmp_path / "sweep"
    done = app.sweep(root, *LOCAL, *SWEEP, check=True)
    fresh = [pair for pair in ran(tmp_path / "notes") if pair[1] > 5]
    again = app.sweep(root, *LOCAL, *SWEEP, check=True)
    resumed = app.verb("resume", root)

    assert (3, 6) in fresh
    assert (3, 7) in fresh
    assert len(ran(tmp_path / "notes")) == 6 + len(fresh)
    assert decision(root)["winner"]["configuration"] == {"x": 3}
    assert decision(root)["winner"]["confirmed"] == 6.0
    assert decision(root)["coverage"]["planned"] == 6 + len(fresh)
    assert "Confirmed:   6" in done.stdout
    assert "Confirmed:   6" in again.stdout
    assert "Nothing is left to train." in resumed.stdout
    assert (root / "fresh" / "6" / "app.log").exists()  # Hydra's own folder of the first fresh run


def test_a_job_of_the_sweep_keeps_its_folder(app, tmp_path):
    """Hydra counts a duplicate that the plan holds once: the first fresh run has the number of the last job."""
    root = tmp_path / "sweep"
    app.sweep(root, *LOCAL, "x=1,1,2", check=True)

    assert "x=2" in (root / "2" / ".hydra" / "overrides.yaml").read_text()
    assert "fixed=1" in (root / "2" / ".hydra" / "config.yaml").read_text().replace(": ", "=")
    assert "fixed=2" in (root / "fresh" / "2" / ".hydra" / "overrides.yaml").read_text()


def test_a_sweep_that_is_killed_while_it_confirms_goes_on_without_a_second_plan(app, tmp_path):
    """All processes die in the fresh runs; `resume` runs what is left of them, and plans none anew."""
    root = tmp_path / "sweep"
    command = [sys.executable, "app.py", "-m", *LOCAL, f"hydra.sweep.dir={root}", *SWEEP]
    process = subprocess.Popen(command, cwd=app.folder, env=app.env, start_new_session=True)
    wait_for((root / "plan" / "000002.jsonl").exists, 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    planned = app.verb("collect", root)
    resumed = app.verb("resume", root)

    assert "fresh runs of the pick have a score" in planned.stdout
    assert resumed.returncode == 0, resumed.stderr
    assert decision(root)["winner"]["confirmed"] == 6.0
    assert len(list((root / "plan").glob("[0-9]*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (("hydra.launcher.objective.replicate=seed",), "the replicate 'seed' is no key of the configuration"),
        (("hydra.launcher.objective.replicate=how",), "the replicate 'how' is '', no whole number"),
        (("hydra.sweeper.max_batch_size=2",), "the sweeper asks in batches"),
        (("hydra.launcher.identity.exclude=[fixed]",), "identity.exclude says that 'fixed' cannot change the result"),
        (("+y=${double:8}",), "a resolver of its own"),
        (("hydra.launcher.objective.confirm=-1",), "is no number of fresh replicates"),
    ],
)
def test_what_cannot_be_confirmed_is_refused_before_anything_is_written(app, tmp_path, changed, sentence):
    """A foreign app without a seed, a seed that is no number or no matter, a value that only the app can resolve."""
    (app.folder / "helper.py").write_text(HELPER)
    root = tmp_path / "sweep"
    done = app.sweep(root, *LOCAL, "x=1,2", *changed)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert not root.exists()


@pytest.mark.slurm
@pytest.mark.xdist_group("slurm")
def test_the_steward_confirms_without_a_person(devcluster, tmp_path):
    """On Slurm one command is typed: the steward plans the fresh runs, submits them, and the next one decides."""
    app = App.write(tmp_path / "app", devcluster.env).with_notes(tmp_path / "notes")
    root = tmp_path / "sweep"
    app.sweep(root, *ON_SLURM, *CONFIRM, "x=1,2", "fixed=1,5", check=True)
    wait_for(lambda: (decision(root).get("winner") or {}).get("confirmed") is not None, 200)
    until_over(devcluster)

    assert decision(root)["winner"]["confirmed"] == 4.0
    assert runs(tmp_path / "notes")[2] == 4
    assert len(list((root / "plan").glob("[0-9]*.jsonl"))) == 2
    assert len(arrays(root)) == 2
