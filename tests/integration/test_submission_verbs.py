"""The verbs on a sweep in any state: held, running, done, moved, mixed, with Slurm, without it, and asked too often."""

import json
import os
import shutil
import time

import pytest

from tests.integration.slurm_fixture import wait_for
from tests.integration.sweeping import ON_SLURM, App, copied, entries, planned, put_on_path, runs, until_over

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

HOLD = "+hydra.launcher.additional_parameters.hold=true"


@pytest.fixture
def app(devcluster, tmp_path):
    """Return the app, with the cluster in its environment."""
    return App.write(tmp_path / "app", devcluster.env).with_notes(tmp_path / "notes")


@pytest.fixture
def held(app, devcluster, tmp_path):
    """Return a sweep of three shards that a person holds in the queue."""
    root = tmp_path / "a sweep's 50% %j"
    done = app.sweep(root, *ON_SLURM, HOLD, "x=1,2,3")
    assert done.returncode == 0, done.stderr
    yield root
    app.verb("cancel", root)
    until_over(devcluster)


def release(devcluster, root):
    (job,) = [body["jobs"][0] for body in _answers(root, "array")]
    devcluster.run("scontrol", "release", job)


def _answers(root, role):
    log = entries(root)
    told = [entry["body"] for entry in log if entry["kind"] == "submitted"]
    return [body for body in told if log[body["intent"] - 1]["body"]["role"] == role]


def forget_the_queue(root):
    (root / "submissions" / "queue.json").unlink(missing_ok=True)


def test_a_held_sweep_says_so_and_runs_the_code_of_its_submission(app, held, devcluster, tmp_path):
    """Status has the reason and the remedy; what is edited while the jobs wait changes nothing."""
    said = app.verb("status", held)
    assert "3 held" in said.stdout
    assert "a user holds it. Type: scontrol release" in said.stdout

    (app.folder / "helper.py").write_text("FACTOR = 1000\n")
    (app.folder / "conf" / "app.yaml").write_text("x: 0\nfixed: 1000\nhow: fail\n")
    (app.folder / "app.py").write_text("raise SystemExit('edited')\n")
    release(devcluster, held)
    wait_for((held / "decision" / "decision.json").exists, "the steward collected", 120)
    until_over(devcluster)

    notes = [json.loads(line)[:3] for line in (tmp_path / "notes" / "runs").read_text().splitlines()]
    assert sorted(notes) == [[1, 2, 1], [2, 2, 1], [3, 2, 1]]
    decision = json.loads((held / "decision" / "decision.json").read_text())
    assert decision["coverage"]["completed"] == 3
    assert decision["winner"]["mean"] == 6


def test_a_held_steward_is_told(app, held, devcluster):
    """Without its collector nobody would write the report: status has the reason and the remedy, alone of its kind."""
    (steward,) = [body["jobs"][0] for body in _answers(held, "steward")]
    assert app.status(held)["steward"]["standing"] == "pending"
    assert "steward" not in app.verb("status", held).stdout
    devcluster.run("scontrol", "uhold", steward)
    forget_the_queue(held)

    said = app.verb("status", held).stdout
    assert f"The steward, which collects: held: a user holds it. Type: scontrol release {steward}" in said


def test_a_sweep_is_cancelled_and_gone_on_with_elsewhere(app, held, devcluster, tmp_path):
    """Cancel empties the queue, its steward included; the folder moves, and resume runs what is owed."""
    assert app.verb("cancel", held).returncode == 0
    until_over(devcluster)
    assert runs(tmp_path / "notes") == {}
    forget_the_queue(held)
    assert app.status(held)["counts"]["lost"] == 3

    moved = held.rename(tmp_path / "moved")
    template = json.loads((moved / "submissions" / "000001.json").read_text())["body"]["parameters"]
    assert template["additional_parameters"] == {"hold": True}
    assert app.verb("resume", moved).returncode == 0
    release_last = _answers(moved, "array")[-1]["jobs"][0]
    devcluster.run("scontrol", "release", release_last)
    wait_for((moved / "decision" / "decision.json").exists, "the steward collected", 120)
    until_over(devcluster)
    assert not held.exists()
    moved.rename(held)

    assert runs(tmp_path / "notes") == {1: 1, 2: 1, 3: 1}


def test_every_verb_works_without_slurms_commands(app, held, tmp_path):
    """On a laptop, status, collect and logs speak from the records; resume and cancel say what is missing."""
    bare = {"PATH": str(tmp_path), "SLURM_CONF": ""}
    forget_the_queue(held)

    status = app.status(held, env=bare)
    assert status["counts"]["planned"] == 3
    assert {shard["standing"] for shard in status["shards"]} == {"unknown"}
    assert app.verb("collect", held, env=bare).returncode == 1
    assert app.verb("logs", held, "1", env=bare).returncode == 2
    for verb in ("resume", "cancel"):
        done = app.verb(verb, held, env=bare)
        assert (done.returncode, "Traceback" in done.stderr) == (75, False)
        assert "PATH" in done.stderr


def test_the_scheduler_is_asked_once_in_ten_seconds(app, held, tmp_path):
    """Whoever asks, and however often: looks within ten seconds are at most one call of Slurm's commands."""
    calls = tmp_path / "calls"
    for name in ("squeue", "sacct", "scontrol", "sinfo"):
        real = shutil.which(name)
        env = put_on_path(tmp_path / "bin", name, f'#!/bin/sh\necho {name} >> "{calls}"\nexec {real} "$@"\n')
    forget_the_queue(held)
    begun = time.monotonic()
    for _ in range(3):
        assert app.status(held, env=env)["counts"]["held"] == 3
    allowed = 1 + int(time.monotonic() - begun) // 10

    assert set(calls.read_text().split()) == {"squeue"}
    assert len(calls.read_text().split()) <= allowed


def test_logs_show_what_one_trial_printed(app, tmp_path):
    """By its number or by the beginning of its id, and nothing of its neighbours."""
    root = tmp_path / "sweep"
    done = app.sweep(root, "hydra/launcher=sharded_local", "x=1,2,3", "hydra.launcher.shards=1")
    assert done.returncode == 0, done.stderr
    rows = (root / "plan" / "000001.jsonl").read_text().splitlines()[1:]

    by_number = app.verb("logs", root, "2").stdout
    by_id = app.verb("logs", root, json.loads(rows[1])["id"][:10]).stdout
    wrong = app.verb("logs", root, "99")

    assert by_number == by_id
    assert "x is 2" in by_number
    assert "x is 1" not in by_number
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (2, False)


def test_a_folder_that_is_no_sweep_or_two_is_refused(app, tmp_path):
    """Foreign and mixed folders: one sentence, status 2, nothing written."""
    (tmp_path / "foreign").mkdir()
    one, other = (planned(app, tmp_path / name / "sweep", "x=1") for name in ("one", "other"))
    mixed = copied(one, tmp_path / "mixed")
    shutil.copy(other / "submissions" / "000001.json", mixed / "submissions" / "000001.json")

    for folder in (tmp_path / "foreign", mixed):
        before = sorted(folder.rglob("*"))
        for verb in ("status", "resume", "cancel"):
            done = app.verb(verb, folder)
            assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert sorted(folder.rglob("*")) == before


def test_a_refused_submission_is_mended_and_sent_again(app, devcluster, tmp_path):
    """A partition that is not there: one sentence; the command is typed again, mended, and the trials run once."""
    root = tmp_path / "sweep"
    refused = app.sweep(root, *ON_SLURM, "hydra.launcher.partition=nowhere", "x=1,2")
    mended = app.sweep(root, *ON_SLURM, "x=1,2")
    until_over(devcluster)

    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr
    assert "invalid partition" in refused.stderr.lower()
    assert mended.returncode == 0, mended.stderr
    assert runs(tmp_path / "notes") == {1: 1, 2: 1}


def test_an_enclosing_job_does_not_shape_what_it_submits(app, devcluster, tmp_path):
    """A steward or a sweep.sbatch has SLURM_* and SBATCH_* in its environment; they do not leak into the array."""
    root = tmp_path / "sweep"
    leaks = {"SBATCH_PARTITION": "nowhere", "SLURM_JOB_ID": "1", "SBATCH_TIMELIMIT": "99", "SLURM_ARRAY_TASK_ID": "7"}
    done = app.sweep(root, *ON_SLURM, HOLD, "x=1", env=leaks)
    (job,) = [body["jobs"][0] for body in _answers(root, "array")]
    shown = devcluster.run("scontrol", "show", "job", job).stdout
    app.verb("cancel", root)

    assert done.returncode == 0, done.stderr
    assert "Partition=gpu" in shown
    assert "TimeLimit=00:05:00" in shown
    assert os.environ.get("SBATCH_PARTITION") is None


def test_a_shard_whose_code_cannot_be_copied_is_held_when_it_differs(app, devcluster, tmp_path):
    """A compiled module beside the code: it is compared at the start, and both ways out are said and work."""
    root = tmp_path / "sweep"
    (app.folder / "fast.so").touch()
    app.sweep(root, *ON_SLURM, HOLD, "x=1", check=True)
    (app.folder / "helper.py").write_text("FACTOR = 3\n")
    release(devcluster, root)
    until_over(devcluster)
    forget_the_queue(root)
    said = app.verb("status", root).stdout
    held = runs(tmp_path / "notes")

    app.verb("resume", root, "--allow-code-change", check=True)
    devcluster.run("scontrol", "release", _answers(root, "array")[-1]["jobs"][0])
    until_over(devcluster)

    assert "1 held" in said
    assert "Restore the code" in said
    assert "--allow-code-change" in said
    assert held == {}
    assert runs(tmp_path / "notes") == {1: 1}
