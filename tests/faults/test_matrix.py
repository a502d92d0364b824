"""The fault matrix: each kind of fault once, at a chosen moment, on a real Slurm; docs/faults.md has the table."""

import signal

import pytest

from tests.faults import nemesis
from tests.faults.drill import same_as
from tests.faults.victims import daemon, send, supervisors, workers
from tests.integration.slurm_fixture import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]


def test_f01_a_killed_worker_costs_its_trial_one_try(scene, calm):
    """The trial is tried again from its checkpoint; its shard's other trials are trained once."""
    drill = scene.drill
    drill.submit()
    drill.until_training()
    nemesis.kill_worker(scene, shard=1)
    drill.until_over()

    assert same_as(drill, calm)
    starts = [line["trial"] for line in drill.progress(1) if line["event"] == "start"]
    assert len(starts) == 4
    assert {number for _, number, _ in drill.claims()} == {1}


def test_f02_a_killed_supervisor_takes_its_worker_along_and_the_steward_goes_on(scene, calm):
    """Finished trials are not trained again, and the unfinished one goes on from its checkpoint."""
    drill = scene.drill
    drill.submit()
    drill.until_training()
    pids = workers(drill, 1)
    nemesis.kill_supervisor(scene, shard=1)
    wait_for(lambda: not set(pids) & set(workers(drill)), "the worker is gone")
    drill.until_over()

    assert same_as(drill, calm)
    epochs = [line["epoch"] for line in drill.progress(1) if line["event"] == "progress"]
    assert len(epochs) <= 3 * 12 + 4


def test_f03_the_orphan_of_a_killed_slurmstepd_is_fenced(scene, calm):
    """The job is requeued while the orphan lives on; each trial has one outcome all the same."""
    drill = scene.drill
    drill.submit("pace.seconds=0.3")
    drill.until_training(3)
    nemesis.kill_stepd(scene, shard=1)
    drill.until_over(180)

    assert same_as(drill, calm)


def test_f04_two_copies_of_a_job_after_its_node_was_lost(scene, calm):
    """The node's slurmd is dead, the old copy trains on, a new one starts elsewhere: one outcome each."""
    drill = scene.drill
    drill.submit("pace.seconds=1")
    drill.until_training(2)
    (old,) = supervisors(drill, 1)
    nemesis.kill_slurmd(scene, shard=1)
    wait_for(lambda: [drill.hurry(), len(drill.sweep.attempts(1)) > 1][1], "a second attempt", 90)
    both = [note["attempt"] for note in supervisors(drill, 1)]
    scene.pay(everything=True)
    drill.until_over(180)

    assert old["attempt"] in both
    assert same_as(drill, calm)


def test_f06_jobs_that_end_while_the_controller_is_away(scene, calm):
    """What is on disk is collected, whatever Slurm says or does not say."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    wait_for(lambda: len({shard for shard, _, _ in drill.claims()}) == 2, "both shards run")
    nemesis.kill_controller(scene, seconds=0)
    wait_for(lambda: len(drill.published()) == 6, "every trial is published", 90)
    drill.verb("collect")

    assert same_as(drill, calm)
    scene.pay(everything=True)
    drill.finish()
    assert same_as(drill, calm)


def test_f07_a_held_task_is_shown_with_its_remedy(scene, calm):
    """`status` names the command that releases it; typed, the sweep goes on."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    drill.until_training(2)
    nemesis.hold(scene)
    scene.debts.clear()
    wait_for(drill.held, "a task is held")
    wait_for(lambda: drill.status()["counts"]["held"], "status knows it", 30)
    told = drill.verb("status").stdout

    assert "scontrol release" in told
    drill.finish()
    assert same_as(drill, calm)


def test_f08_a_node_that_is_lost(scene, calm):
    """Its task starts again, on another node or when it is back."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    drill.until_training(5)
    nemesis.lose_node(scene, shard=1)
    drill.finish()  # Slurm may hold what it cannot start on the node that came back; status says so then

    assert len(drill.sweep.attempts(1)) > 1
    assert same_as(drill, calm)


@pytest.mark.parametrize("partition", ["preempt", "preempt_grace"], ids=["f09-at-once", "f10-with-grace"])
def test_preempted_jobs_go_on(scene, calm, partition):
    """Jobs of higher priority take all nodes; afterwards the sweep goes on from its checkpoints."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2", f"hydra.launcher.partition={partition}")
    drill.until_training(5)
    urgent = ("sbatch", "-p", "urgent", "--exclusive", "-N4", "-o", "/dev/null", "--wrap", "true")
    drill.cluster.run(*urgent)

    assert drill.finish() <= 1
    assert same_as(drill, calm)
    assert len(drill.sweep.attempts(1)) > 1
    begun = [line for line in drill.sweep.attempts(1)[1].log.read_text().splitlines() if line.startswith("begins")]
    assert begun[0] != "begins after epoch 0"


def test_f10_a_shard_that_saved_and_stopped_needs_no_person(scene, calm):
    """Preempted with grace before any trial has ended: what was saved is progress, and the steward goes on."""
    drill = scene.drill
    drill.submit("pace.seconds=0.5", "hydra.launcher.partition=preempt_grace", "hydra.launcher.trials_per_shard=6")
    drill.until_training(3)
    drill.cluster.run("sbatch", "-p", "urgent", "--exclusive", "-N4", "-o", "/dev/null", "--wrap", "true")
    drill.until_over(180)

    assert same_as(drill, calm)


def test_f12_a_storm_of_signals_stops_a_shard_politely(scene, calm):
    """SIGUSR2 and SIGTERM a thousand times: what is finished is published, and the shard goes on later."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    drill.until_training(5)
    nemesis.storm(scene, shard=1, signals=1000)
    drill.until_over()

    assert same_as(drill, calm)
    assert "Traceback" not in "".join(path.read_text() for path in drill.sweep.job_output.iterdir())


def test_f13_a_suspended_job_is_not_dead(scene, calm):
    """Stopped for longer than it may be silent, it goes on where it was, and nobody blames its trial."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2", "hydra.launcher.no_progress_min=0.05")
    drill.until_training(2)
    nemesis.freeze(scene, shard=1, seconds=5)
    wait_for(scene.pay, "it goes on", 30)
    drill.until_over()

    assert same_as(drill, calm)
    assert len(drill.sweep.attempts(1)) == 1


@pytest.mark.parametrize("what", [nemesis.cancel_task, nemesis.cancel_array], ids=["f16-task", "f16-array"])
def test_what_scancel_ended_is_owed(scene, calm, what):
    """The steward submits it again; when it sees no progress, `status` says what to type."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    drill.until_training(5)
    what(scene)

    assert drill.finish() <= 1
    assert same_as(drill, calm)


def test_f42_a_second_attempt_by_hand_takes_over(scene, calm):
    """Two live copies of a shard: the older one leaves, and each trial is published once."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    drill.until_training(2)
    nemesis.run_twice(scene)
    wait_for(lambda: len(drill.claims()) > 2, "the second attempt", 60)
    drill.finish()

    assert same_as(drill, calm)
    assert any(line["event"] == "superseded" for line in drill.progress())


@pytest.mark.parametrize("moment", ["claim", "training"])
def test_f05_a_controller_that_forgets_that_it_started_a_job(scene, calm, moment):
    """Slurmctld is killed soon after the start and runs the same job again, with the same number and restart count."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    if moment == "claim":
        wait_for(drill.claims, "a first claim")
    else:
        drill.until_training(2)
    nemesis.kill_controller(scene, seconds=1)
    scene.pay(everything=True)
    # A controller that forgot the submission itself leaves nobody to go on; one that holds tasks may hold both in turn.
    helps = drill.finish()

    assert same_as(drill, calm)
    assert helps <= len(drill.sweep.shards())


def test_f46_an_sbatch_that_fails_and_submits_all_the_same(scene, calm):
    """Slurmctld hangs while the sweep is submitted: the job is found by its token, and nothing runs twice."""
    drill = scene.drill
    pid = daemon(drill, "slurmctld")
    process = drill.start(*drill.command())
    wait_for(lambda: list(drill.root.glob("submissions/*.sbatch")), "the intent is written")
    send(pid, signal.SIGSTOP)
    wait_for(lambda: len(list(drill.root.glob("submissions/*.sbatch"))), "it waits", 5)
    scene.owe(8, "slurmctld", lambda: send(pid, signal.SIGCONT))
    wait_for(lambda: scene.pay() or process.poll() is not None, "time is up", 30)
    scene.pay(everything=True)
    status = process.wait(120)
    while status == 75:
        status = drill.run(*drill.command()).returncode
    drill.until_over()

    assert status == 0
    assert same_as(drill, calm)
    assert sorted(shard for shard, _, _ in drill.claims()) == [1, 2]


def test_f14_a_submitter_that_is_killed_is_followed_by_one_that_completes(scene, calm):
    """Killed behind its intent and run again, each shard is submitted once."""
    drill = scene.drill
    process = drill.start(*drill.command())
    wait_for(lambda: list(drill.root.glob("submissions/*.sbatch")), "the intent is written")
    process.kill()
    process.wait()
    drill.submit()
    drill.finish()  # the array may be over before its steward could be sent: then a person collects

    assert same_as(drill, calm)
    assert sorted(shard for shard, _, _ in drill.claims()) == [1, 2]


def test_f11_a_save_that_is_slower_than_the_time_that_is_left(scene, calm):
    """Ended in the middle of its checkpoint, the trial goes on from the one before; no half one is ever read."""
    drill = scene.drill
    drill.submit("pace.seconds=0.1", "pace.save_seconds=1", "pace.save_every=2")
    wait_for(lambda: list(drill.root.glob("shards/0001/attempt-*/checkpoints/*/epoch-000002.ckpt")), "a checkpoint", 60)
    wait_for(lambda: list(drill.root.glob("shards/0001/attempt-*/checkpoints/*/.half-*")), "a half checkpoint", 60)
    nemesis.kill_supervisor(scene, shard=1)
    drill.until_over(180)

    assert same_as(drill, calm)
    log = (drill.sweep.attempts(1)[1].log).read_text()
    assert "begins after epoch 2" in log
    assert "passes over" not in log


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_f11_the_time_limit_ends_a_shard_that_goes_on_in_the_next_job(scene, calm):
    """A limit of one minute for two minutes of work: warned by a signal, it saves, and the steward goes on."""
    drill = scene.drill
    drill.submit("pace.seconds=3", "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=20")
    drill.until_over(480)

    assert same_as(drill, calm)
    notes = drill.progress(1)
    assert any(line["event"] == "stopping" and line["signal"] == "SIGUSR2" for line in notes)
    assert sum(line["event"] == "progress" for line in notes) <= 3 * 12 + len(drill.sweep.attempts(1))


def test_f41_a_collector_during_the_sweep_says_that_it_is_partial(scene, calm):
    """While shards run, the tables have every planned trial, and the decision says how many are missing."""
    drill = scene.drill
    drill.submit("pace.seconds=0.2")
    drill.until_training(2)
    while not drill.is_over():
        drill.verb("collect")
        coverage = drill.decision()["coverage"]
        assert len(drill.table()) == coverage["planned"] == 6
        assert sum(coverage[name] for name in ("completed", "failed", "diverged", "pruned", "missing")) == 6

    assert same_as(drill, calm)
