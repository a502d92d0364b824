"""The fault matrix, what befalls a submission and its environment: limits, silence, refusals, drift; docs/faults.md."""

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import nemesis
from tests.faults.drill import APP, Drill, same_as
from tests.integration.slurm_fixture import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]


@contextmanager
def closed(drill):
    """Keep the partitions from starting jobs."""
    names = ("gpu", "cpu")
    for name in names:
        drill.cluster.run("scontrol", "update", f"partitionname={name}", "state=down")
    try:
        yield
    finally:
        for name in names:
            drill.cluster.run("scontrol", "update", f"partitionname={name}", "state=up")


def test_f47_a_controller_that_is_out_of_reach(scene, calm):
    """The command ends with 75, nothing is lost, status works; typed again, the sweep runs."""
    drill = scene.drill
    nemesis.kill_controller(scene, seconds=0)
    done = drill.submit(check=False, timeout=200)
    told = drill.verb("status")
    scene.pay(everything=True)

    assert done.returncode == 75, done.stderr
    assert "Traceback" not in done.stderr
    assert "hpc-sweep resume" in told.stdout
    assert drill.verb("resume").returncode == 0
    drill.until_over()
    assert same_as(drill, calm)


def test_f45_two_submitters_of_one_sweep(scene, calm):
    """Typed twice at the same moment: each shard runs once, and whoever comes second says so or does nothing."""
    drill = scene.drill
    processes = [drill.start(*drill.command()) for _ in range(2)]
    statuses = [process.wait(200) for process in processes]
    drill.until_over()

    assert 0 in statuses
    assert set(statuses) <= {0, 75}
    assert same_as(drill, calm)
    assert sorted(shard for shard, _, _ in drill.claims()) == [1, 2]


def test_f44_a_job_number_that_was_given_again(scene, calm, tmp_path):
    """A cluster set up anew runs somebody else's array under the number of ours: ours is over, and not running."""
    drill = scene.drill
    drill.submit()
    drill.until_over()
    numbers = {note["slurm"]["SLURM_ARRAY_JOB_ID"] for _, _, note in drill.claims()}
    rows = "".join(f"someone|{number}|{index}|other|RUNNING|None\n" for number in numbers for index in (0, 1))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "squeue").write_text(f"#!/bin/sh\nprintf '%s' '{rows}'\n")
    (tmp_path / "bin" / "squeue").chmod(0o755)
    drill.sweep.queue.unlink(missing_ok=True)
    later = Drill(drill.cluster, drill.root, env={"PATH": f"{tmp_path / 'bin'}:{drill.environment['PATH']}"})

    assert {shard["standing"] for shard in later.status()["shards"]} == {"over"}
    assert later.verb("collect").returncode == 0
    assert same_as(later, calm)


def test_f44_cancel_spares_a_job_that_was_given_our_number(scene, tmp_path):
    """Slurm forgot the sweep's jobs and gave their numbers to others of the same user: those are not cancelled."""
    drill = scene.drill
    drill.submit()
    drill.until_over()
    numbers = sorted({note["slurm"]["SLURM_ARRAY_JOB_ID"] for _, _, note in drill.claims()})
    folder = tmp_path / "bin"
    folder.mkdir()
    rows = "".join(f"root|{number}|N/A|other|RUNNING|None\\n" for number in numbers)
    (folder / "squeue").write_text(f"#!/bin/sh\nprintf '{rows}'\n")
    (folder / "scancel").write_text(f"#!/bin/sh\necho $* >> {tmp_path}/cancelled\n")
    for name in ("squeue", "scancel"):
        (folder / name).chmod(0o755)
    later = Drill(drill.cluster, drill.root, env={"PATH": f"{folder}:{drill.environment['PATH']}"})

    assert later.verb("cancel").returncode == 0
    assert not (tmp_path / "cancelled").exists()


def test_f48_more_shards_than_an_array_may_have(scene):
    """70 shards where an index is at most 30: three arrays, each shard once."""
    drill = scene.drill
    seeds = "seed=" + ",".join(map(str, range(1, 36)))
    drill.submit("pace.seconds=0", "pace.save_every=0", "hydra.launcher.trials_per_shard=2", grid=("x=1,3", seeds))
    drill.until_over(200)

    arrays = [path.read_text() for path in drill.root.glob("submissions/*.sbatch")]
    sizes = [line for text in arrays for line in text.splitlines() if line.startswith("#SBATCH --array=")]
    assert len(sizes) == 2
    assert drill.status()["counts"]["completed"] == 70


def test_f50_a_partition_that_does_not_exist(scene, calm):
    """One sentence with Slurm's reason and what to mend; mended, the same sweep runs."""
    drill = scene.drill
    done = drill.submit("hydra.launcher.partition=nowhere", check=False)

    assert done.returncode == 2
    assert "invalid partition" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    drill.submit()
    drill.until_over()
    assert same_as(drill, calm)


def test_f50_a_job_that_can_never_start_is_shown_as_held(scene):
    """It asks for more nodes' time than its partition gives; status says why and what to type."""
    drill = scene.drill
    drill.cluster.run("scontrol", "update", "partitionname=gpu", "maxtime=1")
    try:
        done = drill.submit("hydra.launcher.timeout_min=10", check=False)
        told = drill.verb("status").stdout if done.returncode == 0 else done.stderr
    finally:
        drill.cluster.run("scontrol", "update", "partitionname=gpu", "maxtime=7-00:00:00")

    assert "time limit" in told.lower()
    assert "Traceback" not in told


def test_f52_code_that_changes_while_jobs_wait(scene, calm, tmp_path):
    """The sweep runs what was there at submit."""
    app = Path(shutil.copytree(APP.parent, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))) / APP.name
    drill = Drill(scene.drill.cluster, tmp_path / "sweep", app=app)
    with closed(drill):
        drill.submit()
        app.write_text(app.read_text().replace("0.9 -", "0.1 -"))
    drill.until_over()

    assert same_as(drill, calm)


def test_f52_the_ranking_never_mixes_two_codes(scene, tmp_path):
    """Extended after an edit, it is refused in a sentence that names the way."""
    app = Path(shutil.copytree(APP.parent, tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))) / APP.name
    drill = Drill(scene.drill.cluster, tmp_path / "sweep", app=app)
    drill.submit()
    drill.until_over()
    app.write_text(app.read_text().replace("0.9 -", "0.1 -"))
    done = drill.submit(grid=("x=1,3,4,5", "seed=1,2"), check=False)

    assert done.returncode == 2
    assert "the code" in done.stderr
    assert "allow_code_change=true" in done.stderr


def test_f54_an_interpreter_that_is_missing_on_the_node(scene, calm, tmp_path):
    """The environment is gone when the jobs start: they fail, status says so, and another one resumes."""
    drill = scene.drill
    (tmp_path / "env").symlink_to(Path(sys.prefix))
    words = drill.command()
    with closed(drill):
        drill.run(tmp_path / "env" / "bin" / "python", *words[1:], check=True)
        (tmp_path / "env").unlink()
    drill.until_over()
    wait_for(lambda: drill.status()["counts"]["lost"] == 6, "status knows that the trials are lost", 40)

    assert "hpc-sweep resume" in drill.verb("status").stdout
    assert any(
        "No such file" in path.read_text() or "not found" in path.read_text()
        for path in drill.sweep.job_output.iterdir()
    )
    assert drill.verb("resume").returncode == 0
    drill.until_over()
    assert same_as(drill, calm)
