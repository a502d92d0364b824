"""Tries that give no outcome: what is tried again, how often, and by whom."""

import os
import signal

import pytest

from hpc_sweep.runtime.stacks import LIVES
from hpc_sweep.runtime.supervisor import UNFIT, supervise
from hpc_sweep.training.listener import Ending
from hpc_sweep.trial import Outcome, Result
from tests.unit.runtime.conftest import scores


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class AcceleratorError(RuntimeError):
    """Named as torch's."""


def failing(house, number, accident, times=1000):
    """Return a task with one trial that has an accident the first times; every try is noted with its process."""

    def train(trial, context):
        del context
        house.note(f"{trial.id} in {os.getpid()}")
        if trial.number == number and house.note(f"accident of {trial.id}") < times:
            accident()
        return Result(Outcome.COMPLETED, {"val/score": float(trial.number)})

    return train


def killed():
    """Die as the kernel kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def raises(error):
    """Return an accident that raises."""

    def accident():
        raise error

    return accident


def tries(house, trial):
    """Count how often a trial was begun."""
    return sum(line.startswith(f"{trial} in") for line in house.noted())


def workers(house):
    """Return the processes that trained, in order."""
    return list(dict.fromkeys(line.split()[-1] for line in house.noted() if " in " in line))


def test_a_trial_whose_worker_dies_twice_is_tried_a_third_time(house):
    """Death is retried, after the other trials, and what failed before is no outcome."""
    assert house.attempt(failing(house, 2, killed, times=2)) == 0

    assert house.ledger().counts["completed"] == 6
    assert [line["outcome"] for line in house.lines("id2")] == [None, None, "completed"]
    assert [line["error"]["tries"] for line in house.lines("id2")[:2]] == [1, 2]
    assert tries(house, "id2") == 3
    assert tries(house, "id1") == 1


@pytest.mark.parametrize(
    ("accident", "reason", "expected"),
    [
        (killed, "signal 9", 3),
        (raises(OSError(5, "Input/output error")), "io", 3),
        (raises(OSError(28, "No space left on device")), "no space", 3),
        (raises(MemoryError()), "memory", 3),
        (raises(OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")), "cuda_oom", 3),
        (raises(ValueError("negative size")), "exception", 1),
        (raises(SystemExit(3)), "exit", 1),
    ],
    ids=["killed", "io", "full", "memory", "gpu memory", "value", "exit"],
)
def test_a_trial_is_tried_no_more_often_than_it_helps(house, accident, reason, expected):
    """A machine's trouble is worth two retries, the same code with the same numbers none."""
    assert house.attempt(failing(house, 3, accident)) == 1

    row = house.row(3)
    assert tries(house, "id3") == expected
    assert (row.status, row.failure["error"]["reason"]) == ("failed", reason)
    assert (row.failure["error"]["tries"], row.failure["error"]["retryable"]) == (expected, False)
    assert house.ledger().counts["completed"] == 5


def test_without_retries_every_failure_is_final(house):
    """The cap is the shard's."""
    assert house.attempt(failing(house, 3, killed), retries=0) == 1
    assert tries(house, "id3") == 1


def test_a_death_by_signal_9_tells_about_memory(house):
    """The kernel kills without a word, so the note gives the likely reason and the key to turn."""
    house.attempt(failing(house, 1, killed), retries=0)

    assert "mem_gb" in house.row(1).failure["error"]["text"]


def test_a_diverged_trial_is_never_tried_again(house):
    """It has an outcome."""

    def train(trial, context):
        del context
        house.note(f"{trial.id} in {os.getpid()}")
        return Result(Outcome.DIVERGED, {}, note="loss became non-finite at epoch 2")

    assert house.attempt(train) == 0
    assert house.attempt(train) == 0
    assert house.ledger().counts["diverged"] == 6
    assert len(house.noted()) == 6


def test_after_a_gpu_error_the_next_trial_has_a_fresh_process(house):
    """A process that met a sticky error can train nothing more."""
    assert house.attempt(failing(house, 2, raises(AcceleratorError("CUDA error: an illegal memory access")), 1)) == 0

    assert len(workers(house)) == 2
    assert house.lines("id2")[0]["error"]["reason"] == "cuda"


def test_two_gpu_errors_in_a_row_make_the_attempt_leave_the_node(house, capfd):
    """The trials that are left are not burnt on a broken machine; the next attempt has them all."""

    def broken(trial, context):
        del context
        house.note(f"{trial.id} in {os.getpid()}")
        raise AcceleratorError("CUDA error: uncorrectable ECC error encountered")

    assert house.attempt(broken) == UNFIT
    assert "the GPU of this node failed 2 times in a row" in capfd.readouterr().err
    assert len(house.noted()) == 2
    assert house.ends() == 0
    assert house.attempt() == 0
    assert house.ledger().counts["completed"] == 6


def test_what_failed_for_good_stays_so_until_a_person_asks(house):
    """The next attempt tries it no more and its status says so; a submission that asks for it tries it anew."""
    house.attempt(failing(house, 3, raises(ValueError("negative size"))))

    assert house.attempt() == 1
    assert house.row(3).status == "failed"
    assert house.attempt(again="token-1") == 0
    assert house.row(3).status == "completed"


def test_a_requeued_submission_does_not_ask_again(house):
    """One wish gives one set of tries, however often its job is restarted."""
    house.attempt(failing(house, 3, killed))

    for _ in range(3):
        house.attempt(failing(house, 3, killed), again="token-1")

    assert tries(house, "id3") == 6


def test_a_trial_that_every_attempt_dies_in_is_given_up(house, counting):
    """Without a word and without progress, three attempts are enough; the other trials are trained."""

    def end_the_attempt(trial, epoch):
        del epoch
        if trial.number == 1:
            house.kill_supervisor(trial)

    statuses = []
    for _ in range(4):
        process = house.spawn(counting(house, cut=end_the_attempt))
        process.join()
        statuses.append(process.exitcode)

    assert statuses == [-9, -9, -9, 1]
    assert house.row(1).failure["error"]["reason"] == "interrupted"
    assert house.row(1).failure["error"]["tries"] == 3
    assert house.ledger().counts["completed"] == 5


def test_a_trial_that_gets_on_is_never_given_up(house, counting):
    """Attempts that die after a checkpoint are bad luck, however many."""

    def cut(trial, epoch):
        if trial.number == 1 and epoch > 1 and house.note(f"cut before {epoch}") == 0:
            house.kill_supervisor(trial)

    deaths = 0
    for _ in range(20):
        process = house.spawn(counting(house, epochs=8, cut=cut), save_seconds=0.0)
        process.join()
        if process.exitcode == 0:
            break
        deaths += 1

    assert deaths == 7
    assert house.ledger().counts["completed"] == 6
    assert [line for line in house.noted() if line.startswith("id1 ")] == [f"id1 {epoch}" for epoch in range(1, 9)]


def test_a_hanging_trial_is_ended_with_its_stacks(house):
    """After the time without progress its stacks are in the log, and the other trials go on."""

    def deadlock_in_the_loader(trial, context):
        del context
        if trial.number == 2:
            signal.pause()
        return Result(Outcome.COMPLETED, {"val/score": float(trial.number)})

    assert house.attempt(deadlock_in_the_loader, no_progress_min=0.6 / 60, retries=0) == 1

    error = house.row(2).failure["error"]
    assert error["reason"] == "timeout"
    assert "deadlock_in_the_loader" in house.sweep.attempt(1, 1).log.read_text()
    assert house.ledger().counts["completed"] == 5


def test_a_worker_that_dies_before_its_first_trial_cannot_go_on_for_ever(house):
    """A library that kills its process when it is imported is charged to the trials, and the shard ends."""

    def load():
        os.kill(os.getpid(), signal.SIGSEGV)

    assert supervise(house.shard(retries=0), load) == 1
    assert house.ledger().counts["failed"] == 6
    assert house.row(1).failure["error"]["reason"] == "signal 11"


def test_a_stack_that_keeps_together_against_every_choice_comes_to_an_end(house):
    """Its trainer heeds nothing and dies each time: the trials are charged in the end, and each has failed."""

    def stubborn(trials, listener, earlier):
        del earlier
        house.note("worker")
        for index in range(len(trials)):
            listener.begun(index)
        listener.together(range(len(trials)))
        os._exit(9)

    assert supervise(house.shard(retries=0), lambda: stubborn) == 1

    assert house.ledger().counts["failed"] == 6
    assert {row.failure["error"]["reason"] for row in house.ledger().rows} == {"exit 9"}
    assert len(house.noted()) <= 6 * (LIVES + 1)


def gpu_fails_with(house, culprit):
    """Return what trains in stacks as chosen, and meets an assertion of the GPU where a trial is among others."""

    def train_all(trials, listener, earlier):
        size = {one: record["size"] for record in earlier for one in record["members"]}
        waiting = list(range(len(trials)))
        while waiting:
            some = waiting[: size.get(trials[waiting[0]][0].id, len(waiting))]
            waiting = waiting[len(some) :]
            house.note(" ".join(trials[index][0].id for index in some))
            for index in some:
                listener.begun(index)
            listener.together(some)
            for index in some:
                trial, context = trials[index]
                if trial.id == culprit and len(some) > 1:
                    raise RuntimeError("CUDA error: device-side assert triggered")
                listener.ended(Ending(index, scores(trial, context), None, 0.1))

    return lambda: train_all


@pytest.mark.parametrize("culprit", ["id1", "id4", "id6"])
def test_an_assertion_of_one_trial_in_a_stack_does_not_condemn_the_node(house, culprit):
    """The stack is halved before the GPU is blamed, again and again, until the trial is alone."""
    assert supervise(house.shard(), gpu_fails_with(house, culprit)) == 0
    assert house.ledger().counts["completed"] == 6


def test_errors_of_the_gpu_with_progress_in_between_do_not_condemn_the_node(house):
    """A checkpoint was kept before each of them: the GPU works."""
    assert supervise(house.shard(save_seconds=0.0), gpu_dies_late(house)) == 0
    assert house.ledger().counts["completed"] == 6


def test_a_broken_gpu_condemns_the_node_when_trials_fail_alone_too(house):
    """Whoever asks it, fails: stacks are halved to single trials, and the second of those is one too many."""

    def train_all(trials, listener, earlier):
        size = {one: record["size"] for record in earlier for one in record["members"]}
        some = range(size.get(trials[0][0].id, len(trials)))
        for index in some:
            listener.begun(index)
        listener.together(some)
        error = RuntimeError("CUDA error: an illegal memory access was encountered")
        if len(some) > 1:
            raise error
        listener.ended(Ending(0, None, error, 0.1))

    assert supervise(house.shard(), lambda: train_all) == UNFIT
    assert [len(house.lines(f"id{n}")) for n in (1, 2, 3)] == [1, 1, 0]


def gpu_dies_late(house):
    """Return what keeps a checkpoint of a stack in each of three lives, and fails after it; the fourth is calm."""

    def train_all(trials, listener, earlier):
        del earlier
        for index in range(len(trials)):
            listener.begun(index)
        listener.together(range(len(trials)))
        lives = house.note("life")
        if lives < 3:
            trials[0][1].keep(lives + 1, lambda: None)
            raise RuntimeError("CUDA error: device-side assert triggered")
        for index, (trial, context) in enumerate(trials):
            listener.ended(Ending(index, scores(trial, context), None, 0.1))

    return lambda: train_all
