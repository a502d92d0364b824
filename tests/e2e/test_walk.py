"""The whole walk, as a person types it: sweep, report, winner, production run."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hpc_sweep import paths
from hpc_sweep.compose import here  # noqa: F401 because it registers the resolver of the shipped conf/
from hpc_sweep.ledger import read_ledger
from hpc_sweep.plan import read_plan
from tests.conftest import ROOT, wait_for

SMALL = ("epochs=2", "batch_size=64")
GRID = ("model.dropout=0.3,0.5", "optimizer.lr=0.001,0.0005", "seed=1,2")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Return the folder of a sweep of four configurations with two replicates each, run by `sharded_local`."""
    folder = tmp_path_factory.mktemp("walk") / "a sweep"
    done = train("-m", *GRID, *SMALL, f"hydra.sweep.dir='{folder}'")
    assert done.returncode == 0, done.stderr
    assert "Production:" in done.stdout
    return folder


def train(*overrides, **more):
    """Run jobs/train.py in the repository's folder."""
    return job("train.py", *overrides, **more)


def job(name, *arguments, env=None):
    """Run one of jobs/ and return the finished process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    command = [sys.executable, ROOT / "jobs" / name, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def rows(folder):
    """Return the rows of trials.csv."""
    with (folder / "merged" / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def decision(folder):
    """Return decision.json."""
    return json.loads((folder / "decision" / "decision.json").read_text())


def test_every_planned_trial_has_its_row(swept):
    """Eight trials, numbered in Hydra's product order, each with its parameters, its seed and its metrics."""
    found = rows(swept)

    assert [row["number"] for row in found] == [str(n) for n in range(1, 9)]
    assert {row["status"] for row in found} == {"completed"}
    assert [row["seed"] for row in found] == ["1", "2"] * 4
    assert [row["model.dropout"] for row in found] == ["0.3"] * 4 + ["0.5"] * 4
    assert all(0 <= float(row["val/accuracy"]) <= 1 for row in found)
    assert len({row["id"] for row in found}) == 8


def test_the_winner_is_the_configuration_with_the_highest_mean(swept):
    """The decision follows from the table."""
    means = {}
    for row in rows(swept):
        key = (float(row["model.dropout"]), float(row["optimizer.lr"]))
        means.setdefault(key, []).append(float(row["val/accuracy"]))
    best = max(sum(values) / 2 for values in means.values())

    winner = decision(swept)["winner"]

    assert winner["mean"] == pytest.approx(best)
    assert winner["n"] == 2
    assert (swept / "decision" / "report.md").read_text().startswith("# Sweep report")


def test_the_optimized_configuration_composes_to_the_winning_trial(swept):
    """In Hydra, as a member of the config group `winner`, with nothing else said."""
    sweep = paths.Sweep(swept)
    plan = read_plan(sweep.plan, sweep=json.loads(sweep.identity.read_text())["sweep"])
    number = decision(swept)["winner"]["trials"][0]
    (trial,) = [one for one in plan.trials if one.number == number]

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        search = f"hydra.searchpath=['file://{swept / 'decision'}']"
        composed = compose("train", overrides=["winner=optimized", search])

    expected = plan.part_of(trial).configuration(trial)
    assert OmegaConf.to_container(composed, resolve=False) == expected


def test_a_second_run_of_the_same_sweep_trains_nothing(swept, tmp_path):
    """The same grid, reordered and extended by one value, runs exactly what is new; the folder may have moved."""
    folder = Path(shutil.copytree(swept, tmp_path / "moved", symlinks=True))
    before = {row["id"]: row for row in rows(folder)}

    reordered = ("seed=2,1", "optimizer.lr=0.0005,0.001", "model.dropout=0.5,0.3")
    done = train("-m", *reordered, *SMALL, f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    assert {row["id"]: row for row in rows(folder)} == before

    wider = ("model.dropout=0.3,0.4,0.5", "optimizer.lr=0.001,0.0005", "seed=1,2")
    done = train("-m", *wider, *SMALL, f"hydra.sweep.dir={folder}")
    assert done.returncode == 0, done.stderr
    after = {row["id"]: row for row in rows(folder)}
    assert len(after) == 12
    assert {name: after[name]["seconds"] for name in before} == {name: row["seconds"] for name, row in before.items()}


def test_another_sweep_in_the_same_folder_is_refused(swept):
    """Same folder, other objective: nothing is mixed, and the exit status is that of a user's mistake."""
    done = train("-m", "model.dropout=0.1", "objective.metric=val/macro_f1", *SMALL, f"hydra.sweep.dir='{swept}'")

    assert done.returncode == 2
    assert "objective" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_basic_launcher_records_the_same_outcomes(swept, tmp_path):
    """Under Hydra's own launcher the same trials end with the same numbers, and each entry names its plan part."""
    folder = tmp_path / "basic"
    done = train("-m", *GRID, *SMALL, f"hydra.sweep.dir={folder}", "hydra/launcher=basic")
    assert done.returncode == 0, done.stderr

    ours = {row["id"]: row["val/cross_entropy"] for row in rows(swept)}
    assert all(ours[row["id"]] == row["val/cross_entropy"] for row in rows(folder))
    assert len(rows(folder)) == 8
    parts = read_ledger(paths.Sweep(folder)).plan.parts
    plan = {trial.id: part for part in parts for trial in part.trials}
    entries = [json.loads(path.read_text()) for path in sorted((folder / "shards" / "0001").glob("0*.json"))]
    told = {one["body"]["results"][0]["trial"]: one["part"] for one in entries}
    assert told == {trial: {"number": part.number, "sha256": part.sha256} for trial, part in plan.items()}


def test_several_values_without_m_are_refused_in_a_sentence(tmp_path):
    """A single run takes one value of a key; the refusal says what to add, and leaves no folder."""
    done = train("seed=1,2", f"hydra.run.dir={tmp_path / 'run'}")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "'seed=1,2' is more than one trial: add -m to sweep over the values, or type 'seed=[1,2]' for a list."
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("launcher", "status"), [("sharded_local", 1), ("basic", 2)])
def test_a_failing_trial_shows_in_the_exit_status_and_the_others_count(tmp_path, launcher, status):
    """One trial asks for a device that is not there; its sibling is trained, ranked and reported.

    Hydra's own sweeper raises what a trial raised, and so its status is that of the error.
    """
    folder = tmp_path / "sweep"

    done = train("-m", "device=cuda,cpu", *SMALL, f"hydra.sweep.dir={folder}", f"hydra/launcher={launcher}")

    assert done.returncode == status
    assert sorted(row["status"] for row in rows(folder)) == ["completed", "failed"]
    assert "device=cuda" in (folder / "decision" / "report.md").read_text()


def test_the_production_run_keeps_what_the_sweep_promised_and_resumes_after_a_kill(swept, tmp_path):
    """Killed in the middle, the same command goes on, and ends as if nothing had happened."""
    calm, cut = (Path(shutil.copytree(swept, tmp_path / name, symlinks=True)) for name in ("calm", "cut"))
    overrides = ("epochs=6", "batch_size=48")
    done = job("production.py", f"sweep={calm}", *overrides)
    assert done.returncode == 0, done.stderr
    assert "promised by the sweep" in done.stdout

    process = subprocess.Popen(
        [sys.executable, ROOT / "jobs" / "production.py", f"sweep={cut}", *overrides],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: produced(cut, "checkpoints/*.ckpt"), seconds=120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not produced(cut, "result.json")
    resumed = job("production.py", f"sweep={cut}", *overrides)

    assert resumed.returncode == 0, resumed.stderr
    (expected,), (found,) = (
        [json.loads(path.read_text()) for path in produced(one, "result.json")] for one in (calm, cut)
    )
    assert found["curves"] == expected["curves"]
    assert found["extras"]["val/confusion"] == expected["extras"]["val/confusion"]


def produced(sweep, name):
    """Return the files of the production run with 6 epochs."""
    folders = [path.parent for path in sweep.glob("production/*/config.yaml") if "epochs: 6" in path.read_text()]
    return [path for folder in folders for path in folder.glob(name)]


def test_the_production_run_repeats_the_winning_trial_and_goes_further(swept):
    """With nothing changed but the number of epochs, the shared epochs are equal, digit for digit."""
    done = job("production.py", f"sweep='{swept}'", "epochs=3")

    assert done.returncode == 0, done.stderr
    assert "Over the first 2 epochs this run repeats the sweep's trial exactly." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "usage:"),
        (("epochs=3",), "sweep=<dir>"),
        (("sweep=/nowhere",), "no winner"),
    ],
)
def test_a_wrong_call_of_the_production_run_is_a_sentence(arguments, sentence):
    """No traceback for a user's mistake."""
    done = job("production.py", *arguments)

    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_change_that_the_winner_cannot_take_is_refused(swept):
    """A key that does not exist, and a whole group, are no single values."""
    for override in ("no.such=1", "model=cnn"):
        done = job("production.py", f"sweep='{swept}'", override)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_a_changed_winner_is_not_trained_as_the_winner(swept, tmp_path):
    """Whoever edits optimized.yaml is told to give overrides instead."""
    folder = Path(shutil.copytree(swept, tmp_path / "copy", symlinks=True))
    optimized = folder / "decision" / "winner" / "optimized.yaml"
    optimized.write_text(optimized.read_text().replace("batch_size: 64", "batch_size: 32"))

    done = job("production.py", f"sweep={folder}", "epochs=3")

    assert done.returncode == 2
    assert "changed after the decision" in done.stderr


def test_an_own_app_gets_a_winner_by_changing_one_word(tmp_path):
    """The example app knows nothing of hpc_sweep."""
    folder = tmp_path / "own"
    objective = [f"hydra.launcher.objective.{field}" for field in ("mode=min", "replicate=seed")]
    command = [sys.executable, ROOT / "examples" / "own_app" / "app.py", "-m", "lr=0.01,0.1,0.5", "seed=1,2,3"]

    done = subprocess.run(
        [*command, "hydra/launcher=sharded_local", *objective, f"hydra.sweep.dir={folder}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert decision(folder)["winner"]["configuration"] == {"lr": 0.5}
    assert decision(folder)["winner"]["n"] == 3
    assert (folder / "0" / "app.log").exists()
