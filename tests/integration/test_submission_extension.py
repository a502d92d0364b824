"""Extending, repeating and sharing sweeps: only new trials run, outcomes are reused, and a refusal names the key."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import wait_for
from tests.integration.sweeping import App, runs

LOCAL = ("hydra/launcher=sharded_local", "hydra.launcher.objective.mode=max", "hydra.launcher.n_jobs=2")


@pytest.fixture
def app(tmp_path):
    """Return the app."""
    return App.write(tmp_path / "app").with_notes(tmp_path / "notes")


def ended(root):
    """Return the number of planned trials and of those that completed."""
    coverage = json.loads((root / "decision" / "decision.json").read_text())["coverage"]
    return coverage["planned"], coverage["completed"]


def test_an_extension_runs_exactly_what_is_new_in_any_order(app, tmp_path):
    """The grid is typed again, reordered, longer, and by one value; whatever ran is never run again."""
    root = tmp_path / "sweep"
    for xs in ("x=1,2", "x=2,1", "x=3,1", "x=4"):
        done = app.sweep(root, *LOCAL, xs)
        assert done.returncode == 0, done.stderr

    assert runs(tmp_path / "notes") == {1: 1, 2: 1, 3: 1, 4: 1}
    assert ended(root) == (4, 4)


def test_a_direction_that_was_forgotten_is_said_later(app, tmp_path):
    """Nothing is ranked without it; the same command with a mode ranks what was trained, and trains nothing again."""
    root = tmp_path / "sweep"
    without = [word for word in LOCAL if "mode=" not in word]
    first = app.sweep(root, *without, "x=1,2")
    assert "Type the sweep's command again with hydra.launcher.objective.mode=max" in first.stdout
    again = app.sweep(root, *LOCAL, "x=1,2")
    other = app.sweep(root, *without, "hydra.launcher.objective.mode=min", "x=1,2")

    assert again.returncode == 0, again.stderr
    assert json.loads((root / "decision" / "decision.json").read_text())["winner"]["configuration"] == {"x": 2}
    assert runs(tmp_path / "notes") == {1: 1, 2: 1}
    assert 'objective.mode ("max" there, "min" here)' in other.stderr


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (("fixed=2",), "fixed (1 there, 2 here)"),
        (("++new=1",), "new (swept or not set there, 1 here)"),
        (("fixed=1,2",), "fixed (1 there, swept or not set here)"),
        (("hydra.launcher.objective.mode=min",), 'objective.mode ("max" there, "min" here)'),
        (("hydra.launcher.objective.metric=val/loss",), "objective.metric"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(app, tmp_path, changed, named):
    """One sentence names the key that differs, with both values; nothing is planned or run."""
    root = tmp_path / "sweep"
    app.sweep(root, *LOCAL, "x=1", check=True)
    parts = list((root / "plan").iterdir())
    refused = app.sweep(root, *LOCAL, "x=1,2", *changed)

    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr
    assert named in refused.stderr
    assert list((root / "plan").iterdir()) == parts
    assert runs(tmp_path / "notes") == {1: 1}


def test_other_code_is_refused_unless_it_is_allowed(app, tmp_path):
    """The file that was edited is named; allow_code_change=true runs the new trials with the new code."""
    root = tmp_path / "sweep"
    app.sweep(root, *LOCAL, "x=0,1", check=True)
    (app.folder / "helper.py").write_text("FACTOR = 3\n")
    refused = app.sweep(root, *LOCAL, "x=1,2")
    allowed = app.sweep(root, *LOCAL, "x=1,2", "hydra.launcher.allow_code_change=true")

    assert refused.returncode == 2
    assert "the code (helper.py)" in refused.stderr
    assert "allow_code_change=true" in refused.stderr
    assert allowed.returncode == 0, allowed.stderr
    notes = [json.loads(line)[:2] for line in (tmp_path / "notes" / "runs").read_text().splitlines()]
    assert sorted(notes) == [[0, 2], [1, 2], [2, 3]]


def test_two_sweeps_of_one_second_have_two_folders(app, tmp_path):
    """A default name that is taken gets a suffix; nothing is mixed."""
    command = [sys.executable, "app.py", "-m", *LOCAL, "x=1,2"]
    both = [subprocess.Popen(command, cwd=app.folder, env=app.env, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]

    found = list((app.folder / "multirun").rglob("sweep.json"))
    assert len(found) == 2
    assert [ended(path.parent) for path in found] == [(2, 2), (2, 2)]
    assert runs(tmp_path / "notes") == {1: 2, 2: 2}


def test_two_extensions_of_one_folder_plan_each_trial_once(app, tmp_path):
    """Two people extend one sweep in the same second, with grids that overlap: each trial is planned once."""
    root = tmp_path / "sweep"
    app.sweep(root, *LOCAL, "x=0,1", check=True)
    commands = [[sys.executable, "app.py", "-m", *LOCAL, f"hydra.sweep.dir={root}", xs] for xs in ("x=2,3", "x=3,4")]
    both = [subprocess.Popen(command, cwd=app.folder, env=app.env, stdout=subprocess.DEVNULL) for command in commands]
    for process in both:
        process.wait(120)
    app.verb("resume", root, check=True)

    rows = [
        json.loads(line) for path in sorted((root / "plan").glob("*.jsonl")) for line in path.read_text().splitlines()
    ]
    numbers = [row["number"] for row in rows if "number" in row and "overrides" in row]
    assert numbers == [1, 2, 3, 4, 5]
    assert ended(root) == (5, 5)


def test_a_killed_local_sweep_goes_on_by_resume_or_by_its_command(app, tmp_path):
    """Everything that belongs to the sweep is killed while it trains; what had ended is not trained again."""
    root = tmp_path / "sweep"
    command = [sys.executable, "app.py", "-m", *LOCAL, f"hydra.sweep.dir={root}", "x=1,2,3,4", "how=wait"]
    process = subprocess.Popen(command, cwd=app.folder, env=app.env, start_new_session=True)
    wait_for(lambda: len(runs(tmp_path / "notes")) == 2, 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (tmp_path / "notes" / "go").touch()

    assert app.status(root)["counts"]["lost"] == 4
    resumed = app.verb("resume", root)
    again = app.sweep(root, *LOCAL, "x=1,2,3,4", "how=wait")

    assert resumed.returncode == 0, resumed.stderr
    assert "4 completed of 4 planned" in resumed.stdout
    assert again.returncode == 0, again.stderr
    assert sorted(runs(tmp_path / "notes").values()) == [1, 1, 2, 2]
    assert ended(root) == (4, 4)


def test_failures_are_trained_again_only_when_asked(app, tmp_path):
    """A trial that raises is final for resume; --failed tries it once more."""
    root = tmp_path / "sweep"
    app.sweep(root, *LOCAL, "x=1,2", "how=fail")
    plain = app.verb("resume", root)
    first = dict(runs(tmp_path / "notes"))
    asked = app.verb("resume", root, "--failed")

    assert (plain.returncode, asked.returncode) == (1, 1)
    assert first == {1: 1, 2: 1}
    assert runs(tmp_path / "notes") == {1: 2, 2: 2}
