"""A sweep under faults and limits ends without a person: chunks, lanes, and the steward that goes on."""

import json
import re

import pytest

from tests.integration.slurm_fixture import wait_for
from tests.integration.sweeping import ON_SLURM, App, arrays, entries, runs, until_over

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

HOLD = "+hydra.launcher.additional_parameters.hold=true"


@pytest.fixture
def app(devcluster, tmp_path):
    """Return the app, with the cluster in its environment."""
    return App.write(tmp_path / "app", devcluster.env).with_notes(tmp_path / "notes")


def coverage(root):
    decision = root / "decision" / "decision.json"
    return json.loads(decision.read_text())["coverage"] if decision.exists() else {}


def rounds(root):
    bodies = [entry["body"] for entry in entries(root)]
    return [body["round"] for body in bodies if body.get("role") == "array"]


def test_shards_whose_supervisor_died_are_submitted_again(app, devcluster, tmp_path):
    """Of four shards one kills its supervisor the first time; nobody types anything, and all four complete."""
    root = tmp_path / "sweep"
    how = "++how=die"
    for x in (1, 2, 3):
        (tmp_path / "notes" / f"died-{x}").touch()
    app.sweep(root, *ON_SLURM, "+hydra.launcher.additional_parameters.requeue=false", "x=1,2,3,4", how, check=True)
    wait_for(lambda: coverage(root).get("completed") == 4, "the steward's steward collected", 150)
    until_over(devcluster)

    assert runs(tmp_path / "notes") == {1: 1, 2: 1, 3: 1, 4: 2}
    assert rounds(root) == [0, 1]
    assert entries(root)[0]["body"]["role"] == "wish"


def test_a_round_without_progress_is_the_last(app, devcluster, tmp_path):
    """Every supervisor dies before it published anything: the steward collects, says so, and submits nothing."""
    root = tmp_path / "sweep"
    no_requeue = "+hydra.launcher.additional_parameters.requeue=false"
    app.sweep(root, *ON_SLURM, no_requeue, "x=1", "++how=always", check=True)
    until_over(devcluster)

    assert rounds(root) == [0]
    assert coverage(root)["missing"] == 1
    assert app.status(root)["counts"]["lost"] == 1


def test_an_array_never_exceeds_the_index_limit_and_the_lanes_hold_the_parallelism(app, devcluster, tmp_path):
    """70 shards, MaxArraySize 31, at most 2 at once: three arrays in two lanes, of which one waits for another."""
    root = tmp_path / "sweep"
    xs = "x=" + ",".join(map(str, range(70)))
    done = app.sweep(root, *ON_SLURM, HOLD, "hydra.launcher.array_parallelism=2", xs)
    assert done.returncode == 0, done.stderr
    jobs = arrays(root)
    shown = [devcluster.run("scontrol", "show", "job", job).stdout for job in jobs]
    app.verb("cancel", root)
    until_over(devcluster)

    sizes = [re.search(r"ArrayTaskId=0-(\d+)%(\d+)", text) for text in shown]
    waits = [re.search(r"Dependency=(\S+)", text)[1] for text in shown]
    assert sum(int(match[1]) + 1 for match in sizes) == 70
    assert max(int(match[1]) for match in sizes) <= 30
    assert [match[2] for match in sizes] == ["1", "1", "1"]
    assert waits[:2] == ["(null)", "(null)"]
    assert waits[2].startswith(f"afterany:{jobs[0]}_")


def jobs_known(devcluster):
    """Return how many jobs Slurm remembers, those that are over among them: they count for MaxJobCount."""
    return len(devcluster.run("squeue", "--noheader", "--array", "--states=all").stdout.splitlines())


def test_what_fits_is_submitted_and_the_steward_sends_the_rest(app, devcluster, tmp_path):
    """The queue has room for few jobs: a part is sent, how to go on is said, and in the end every shard ran once."""
    root = tmp_path / "sweep"
    filler = tmp_path / "filler.sh"
    filler.write_text("#!/bin/sh\n#SBATCH --hold --partition=cpu --output=/dev/null\nsleep 1\n")
    known = jobs_known(devcluster)
    wanted = 200 - known - 4  # three shards and the steward have room
    held = []
    while wanted > 0:
        held.append(devcluster.sbatch(f"--array=0-{min(wanted, 31) - 1}", filler))
        wanted -= min(wanted, 31)
    done = app.sweep(root, *ON_SLURM, "x=1,2,3,4,5")
    first = rounds(root)
    devcluster.run("scancel", *held)
    wait_for(lambda: coverage(root).get("completed") == 5, "the rest was submitted", 150)
    until_over(devcluster)
    wait_for(lambda: jobs_known(devcluster) < 100, "Slurm has forgotten the jobs, and other tests have room", 150)

    assert done.returncode == 0, done.stderr
    assert "shards wait: Slurm takes no more jobs now" in done.stdout
    assert f"hpc-sweep resume {root}" in done.stdout
    assert first == [0]
    assert runs(tmp_path / "notes") == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
