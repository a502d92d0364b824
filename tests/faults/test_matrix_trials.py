"""The fault matrix, what befalls a trial: memory, numbers, a full disk, a GPU, silence; docs/faults.md has the table.

One sweep on a real Slurm in which each trial has its own misfortune, once or each time; then each test looks at one.
"""

import csv
import json

import pytest

from tests.faults import nemesis
from tests.faults.drill import Drill

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300), pytest.mark.xdist_group("misfortunes")]

ONCE = {1: "die", 2: "memory", 3: "cuda_oom", 4: "cuda", 5: "full", 6: "hang"}
"""Seeds of the trials of x = 1 that meet something once, and complete."""

ALWAYS = {1: "die!", 2: "cuda_oom!", 3: "full!", 4: "raise!", 5: "nan!", 6: "exit!"}
"""Seeds of the trials of x = 4 that meet it each time."""


@pytest.fixture(scope="module")
def misfortunes(devcluster, tmp_path_factory):
    """Return the sweep, when it is over, and its rows by x and seed."""
    devcluster.verb("up")
    drill = Drill(devcluster, tmp_path_factory.mktemp("misfortunes") / "sweep")
    for seed, word in ONCE.items():
        drill.order(word, 1, seed, 6)
    for seed, word in ALWAYS.items():
        drill.order(word, 4, seed, 12)
    settings = ("hydra.launcher.retries=2", "hydra.launcher.no_progress_min=0.1", "hydra.launcher.trials_per_shard=6")
    drill.submit(*settings, grid=("x=1,3,4", "seed=1,2,3,4,5,6"))
    drill.until_over(240)
    with drill.sweep.trials_csv.open(newline="") as file:
        rows = {(int(row["x"]), int(row["seed"])): row for row in csv.DictReader(file)}
    return drill, rows


def failure(misfortunes, seed) -> dict:
    """Return the last note of failure of a trial that fails each time."""
    drill, rows = misfortunes
    found = [
        line["error"]
        for path in sorted(drill.root.glob("shards/*/[0-9]*.json"))
        for line in json.loads(path.read_text())["body"].get("results", ())
        if line["trial"] == rows[4, seed]["id"]
    ]
    return found[-1]


@pytest.mark.parametrize(
    "word",
    [
        pytest.param("die", id="f18-killed-for-want-of-memory"),
        pytest.param("memory", id="f17-memory-limit"),
        pytest.param("cuda_oom", id="f19-gpu-memory"),
        pytest.param("cuda", id="f20-gpu-error"),
        pytest.param("full", id="f27-full-disk"),
        pytest.param("hang", id="f25-hang"),
    ],
)
def test_what_happens_once_costs_a_try_and_no_result(misfortunes, calm, word):
    """The trial completes, with the metrics that it would have had."""
    _, rows = misfortunes
    (seed,) = [seed for seed, other in ONCE.items() if other == word]

    assert rows[1, seed]["status"] == "completed"
    same = [row for row in calm.table() if (row["x"], row["seed"]) == ("1", str(seed))]
    for row in same:
        assert {name: rows[1, seed][name] for name in row if name != "number"} == {
            k: v for k, v in row.items() if k != "number"
        }


def test_neighbours_are_untouched(misfortunes, calm):
    """All trials without a misfortune are completed, with the metrics of the calm sweep."""
    _, rows = misfortunes

    assert {rows[3, seed]["status"] for seed in range(1, 7)} == {"completed"}
    wanted = {row["id"]: row["val/accuracy"] for row in calm.table() if row["x"] == "3"}
    found = {row["id"]: row["val/accuracy"] for row in rows.values()}
    assert wanted == {trial: found[trial] for trial in wanted}


@pytest.mark.parametrize(
    ("seed", "reason", "tries"),
    [
        pytest.param(1, "signal 9", 3, id="f18"),
        pytest.param(2, "cuda_oom", 3, id="f19"),
        pytest.param(3, "no space", 3, id="f27"),
        pytest.param(4, "exception", 1, id="exception"),
        pytest.param(6, "exit", 1, id="exit"),
    ],
)
def test_what_happens_each_time_is_a_failure_with_its_reason(misfortunes, seed, reason, tries):
    """After as many tries as help."""
    _, rows = misfortunes
    error = failure(misfortunes, seed)

    assert rows[4, seed]["status"] == "failed"
    assert (error["reason"], error["tries"]) == (reason, tries)
    assert reason in rows[4, seed]["error"]


def test_f21_what_is_not_finite_has_diverged(misfortunes):
    """It is an outcome, is never tried again, and never wins."""
    drill, rows = misfortunes

    assert rows[4, 5]["status"] == "diverged"
    assert drill.decision()["winner"]["configuration"] == {"x": 3}
    assert drill.published()[rows[4, 5]["id"]] == 1


def test_the_winner_is_that_of_the_trials_that_completed(misfortunes):
    """And the verb says by its status that some failed."""
    drill, _ = misfortunes

    assert drill.verb("collect").returncode == 1
    assert drill.decision()["coverage"]["failed"] == 5


def test_f23_a_sweep_of_which_every_trial_fails(scene):
    """The report is written, names no winner, and says why; the exit status is 1."""
    drill = scene.drill
    for seed in (1, 2):
        drill.order("raise!", 1, seed, 1)
    drill.submit(grid=("x=1", "seed=1,2"))
    drill.until_over()
    done = drill.verb("collect")

    assert done.returncode == 1
    assert drill.decision()["winner"] is None
    assert not drill.sweep.optimized.exists()
    assert "as it was told" in drill.sweep.report_md.read_text()


def test_f33_a_damaged_checkpoint_is_passed_over(scene, calm):
    """The newest one is damaged while the shard is down: the trial goes on from the one before."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2", "pace.save_every=2")
    drill.until_training(5)
    nemesis.kill_supervisor(scene, shard=1)
    harm = nemesis.damage(scene, newest_checkpoint(drill))
    drill.until_over()

    assert drill.table() == calm.table()
    assert "passes over epoch-" in drill.sweep.attempts(1)[1].log.read_text(), harm


def test_f34_the_checkpoint_of_another_trial_is_refused(scene, calm):
    """It was copied into the place of the newest one."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2", "pace.save_every=2")
    drill.until_training(5)
    nemesis.kill_supervisor(scene, shard=1)
    mine = newest_checkpoint(drill)
    drill.until_training(3, shard=2)
    other = newest_checkpoint(drill, shard=2)
    mine.unlink()
    mine.write_bytes(other.read_bytes())
    drill.until_over()

    assert drill.table() == calm.table()
    assert "another trial's" in drill.sweep.attempts(1)[1].log.read_text()


def newest_checkpoint(drill, shard=1):
    """Return the newest checkpoint of a shard's trial."""
    return max(drill.sweep.shard(shard).glob("attempt-*/checkpoints/*/epoch-*.ckpt"), key=lambda path: path.name)
