"""The whole walk on a real Slurm: submit from a batch job, array, dependent collector, production run."""

import csv
import json
import sys

import pytest

from tests.conftest import ROOT
from tests.integration.slurm_fixture import wait_for

pytestmark = pytest.mark.slurm

GRID = ("model.dropout=0.3,0.5", "optimizer.lr=0.001,0.0005")
SMALL = ("epochs=2", "batch_size=64")
ON_DEVCLUSTER = ("hydra.launcher.partition=gpu", "hydra.launcher.steward.partition=cpu")


def submit(devcluster, script, *arguments, partition, log):
    """Submit one of slurm/*.sbatch in the repository's folder, as a person does."""
    env = {**devcluster.env, "HPC_SWEEP_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    options = ("--partition", partition, "--output", log)
    return devcluster.sbatch(*options, ROOT / "slurm" / script, *arguments, cwd=ROOT, env=env)


def is_over(devcluster):
    """Tell whether the queue is empty."""
    return not devcluster.run("squeue", "--noheader").stdout.strip()


@pytest.fixture(scope="module")
def swept(devcluster, tmp_path_factory):
    """Return the folder of a sweep that a batch job submitted."""
    base = tmp_path_factory.mktemp("slurm")
    folder = base / "sweep"
    overrides = (*GRID, *SMALL, *ON_DEVCLUSTER, "hydra.launcher.trials_per_shard=2", f"hydra.sweep.dir={folder}")
    submit(devcluster, "sweep.sbatch", *overrides, partition="cpu", log=base / "sweep.log")
    wait_for((folder / "submissions" / "000003.json").exists, "the array is submitted", 90)
    wait_for(lambda: is_over(devcluster), "every job is over", 240)
    return folder


def test_every_trial_ran_on_a_gpu_node_and_the_collector_merged_them(swept):
    """Four trials in two array tasks, each with its row, and a winner."""
    with (swept / "merged" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    decision = json.loads((swept / "decision" / "decision.json").read_text())

    assert [row["status"] for row in rows] == ["completed"] * 4
    assert [row["shard"] for row in rows] == ["1", "1", "2", "2"]
    assert decision["coverage"]["completed"] == 4
    assert (swept / "decision" / "winner" / "optimized.yaml").exists()


def test_each_array_task_was_one_shard_with_the_constant_command(swept):
    """The script says python, shard entry, sweep and intent number; the claims say which task ran which shard."""
    token = json.loads((swept / "submissions" / "000002.json").read_text())["body"]["token"]
    script = (swept / "submissions" / f"{token}.sbatch").read_text()
    claims = [json.loads((swept / f"shards/{n:04d}/attempt-0001/claim.json").read_text()) for n in (1, 2)]

    assert "#SBATCH --array=0-1%2" in script
    assert script.rstrip().endswith(f"/code/start.py {swept} 2")
    assert "dropout" not in script
    assert [claim["slurm"]["SLURM_ARRAY_TASK_ID"] for claim in claims] == ["0", "1"]
    assert {claim["slurm"]["SLURMD_NODENAME"][:3] for claim in claims} == {"gpu"}


def test_the_intent_was_written_before_the_array_was_submitted(swept):
    """The submission log has how to run first, then the intent, then the job's number."""
    entries = [json.loads((swept / "submissions" / f"{n:06d}.json").read_text()) for n in (1, 2, 3)]

    assert [entry["kind"] for entry in entries] == ["intent", "intent", "submitted"]
    assert entries[2]["body"]["intent"] == 2


def test_the_production_run_of_the_winner_is_a_batch_job(devcluster, swept, tmp_path):
    """It trains on a GPU node and reports the promise beside the outcome."""
    log = tmp_path / "production.log"
    submit(devcluster, "production.sbatch", swept, "epochs=4", partition="gpu", log=log)
    wait_for(lambda: log.exists() and "Configuration:" in log.read_text(), "the production run is reported", 180)
    wait_for(lambda: is_over(devcluster), "the job is over", 60)

    assert "promised by the sweep" in log.read_text()
    assert "Over the first 2 epochs this run repeats the sweep's trial exactly." in log.read_text()


def test_a_production_run_that_is_requeued_goes_on_from_its_checkpoint(devcluster, swept, tmp_path):
    """Preempted in the middle, it ends with all its epochs, each trained once."""
    log = tmp_path / "production.log"
    job = submit(devcluster, "production.sbatch", swept, "epochs=20", "seed=7", partition="gpu", log=log)
    wait_for(lambda: log.exists() and "epoch 3/20" in log.read_text(), "the third epoch", 120)
    devcluster.run("scontrol", "requeue", job)
    devcluster.run("scontrol", "update", f"jobid={job}", "starttime=now", check=False)
    wait_for(lambda: is_over(devcluster), "the job is over", 240)

    shown = [line for line in log.read_text().splitlines() if line.startswith("epoch ")]
    assert shown[-1].startswith("epoch 20/20")
    assert shown.count(shown[0]) == 1
    assert 20 <= len(shown) <= 21  # at most the epoch whose checkpoint was cut is trained again


def test_a_launcher_that_waits_gives_its_results_to_hydra(devcluster, tmp_path):
    """With detach=false the program ends when the array does, with the winner on the screen."""
    folder = tmp_path / "sweep"
    overrides = ("model.dropout=0.3,0.5", *SMALL, *ON_DEVCLUSTER, f"hydra.sweep.dir={folder}")
    launcher = ("hydra/launcher=sharded_slurm", "hydra.launcher.detach=false", "hydra.launcher.poll_seconds=1")

    done = devcluster.run(
        sys.executable, "jobs/train.py", "-m", *overrides, *launcher, cwd=ROOT, timeout=240, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "2 completed of 2 planned" in done.stdout


def test_a_refused_submission_is_one_sentence(devcluster, tmp_path):
    """A partition that does not exist."""
    overrides = (
        "model.dropout=0.3,0.5",
        *SMALL,
        "hydra.launcher.partition=nowhere",
        f"hydra.sweep.dir={tmp_path / 's'}",
    )

    done = devcluster.run(
        sys.executable, "jobs/train.py", "-m", *overrides, "hydra/launcher=sharded_slurm", cwd=ROOT, check=False
    )

    assert done.returncode == 2
    assert "invalid partition" in done.stderr.lower()
    assert "Traceback" not in done.stderr
