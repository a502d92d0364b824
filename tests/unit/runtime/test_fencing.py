"""Two attempts of one shard alive at once: one of them owns it, and the log is as if it had been alone."""

import os
import signal
import time

from hpc_sweep import records
from hpc_sweep.runtime.book import Book
from hpc_sweep.runtime.claim import claim
from hpc_sweep.runtime.supervisor import SUPERSEDED
from hpc_sweep.trial import Outcome, Result

SWEEP = "sweep-id"


def slowly(house, seconds=0.05):
    """Return a task that takes its time and notes who trained."""

    def train(trial, context):
        context.report(1, {})
        time.sleep(seconds)
        house.note(f"{trial.id} by {os.getppid()}")
        return Result(Outcome.COMPLETED, {"val/score": float(trial.number)})

    return train


def stop(pids, number):
    """Send a signal to a supervisor and to its worker."""
    for pid in pids:
        os.kill(pid, number)


def family(process):
    """Return a supervisor and its worker."""
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(children) as file:
        return [process.pid, *map(int, file.read().split())]


def content(folder):
    """Return the bytes of every published entry."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("0*.json"))}


def test_a_frozen_attempt_wakes_up_and_leaves_without_a_word(house, wait_for):
    """Its node was thought dead; when it comes back, another attempt has finished the shard."""
    zombie = house.spawn(slowly(house))
    wait_for(lambda: len(house.noted()) >= 2)
    frozen = family(zombie)
    stop(frozen, signal.SIGSTOP)

    assert house.attempt() == 0
    published = content(house.sweep.shard(1))
    time_to_publish = house.sweep.attempt(1, 1).results.read_bytes()
    stop(frozen, signal.SIGCONT)
    zombie.join()

    assert zombie.exitcode == SUPERSEDED
    assert content(house.sweep.shard(1)) == published
    assert house.sweep.attempt(1, 1).results.read_bytes().startswith(time_to_publish)
    assert house.ledger().late == ()


def test_a_superseded_attempt_publishes_no_failure(house, wait_for):
    """What went wrong in an attempt that does not own the shard any more is nobody's business."""

    def fail(trial, context):
        del trial, context
        house.note("begun")
        wait_for(lambda: len(house.sweep.attempts(1)) > 1)
        time.sleep(2.1)  # until it would be time to publish
        raise ValueError("too late")

    old = house.spawn(fail)
    wait_for(house.noted)
    assert house.attempt() == 0
    old.join()

    assert old.exitcode == SUPERSEDED
    assert house.ledger().counts["completed"] == 6
    assert all(line["error"] is None for n in range(1, 7) for line in house.lines(f"id{n}"))


def test_attempts_that_live_at_once_publish_each_trial_once(house):
    """Eight attempts start together; one ends, the others leave, and each trial has one line."""
    attempts = [house.spawn(slowly(house, 0.01)) for _ in range(8)]
    for process in attempts:
        process.join()
    statuses = [process.exitcode for process in attempts]
    while house.attempt() != 0:
        continue

    assert set(statuses) <= {0, SUPERSEDED}
    assert [len(house.lines(f"id{n}")) for n in range(1, 7)] == [1] * 6
    assert house.ledger().problems == ()


def test_what_two_attempts_publish_between_two_looks_is_one_line(house):
    """Both found the same finished trial of a dead predecessor, and both looked before either wrote."""
    dead = claim(house.sweep, 1)
    book = Book(house.sweep, SWEEP, 1, dead)
    book.finished("id1", {"outcome": "completed", "metrics": {"val/score": 1.0}, "error": None})
    book.release()
    first = Book(house.sweep, SWEEP, 1, claim(house.sweep, 1))
    second = Book(house.sweep, SWEEP, 1, claim(house.sweep, 1))

    second.history()
    first._check_ownership = lambda: None  # it looked just before the second claimed
    first.history()

    assert len(house.lines("id1")) == 1
    first.release()
    second.release()


def test_a_different_second_outcome_is_kept_as_late(house):
    """Two attempts trained one trial and disagree: the first stands and the second is evidence."""
    first = Book(house.sweep, SWEEP, 1, claim(house.sweep, 1))
    second = Book(house.sweep, SWEEP, 1, claim(house.sweep, 1))
    for book, score in ((second, 1.0), (first, 2.0)):
        book._check_ownership = lambda: None
        book.finished("id1", {"outcome": "completed", "metrics": {"val/score": score}, "error": None})
        book.publish()
        book.release()

    ledger = house.ledger()

    assert ledger.rows[0].result["metrics"] == {"val/score": 1.0}
    assert [late["metrics"] for late in ledger.late] == [{"val/score": 2.0}]


def test_nobody_appends_without_having_read(house):
    """Whoever is overtaken reads what overtook it before it decides again."""
    book = Book(house.sweep, SWEEP, 1, claim(house.sweep, 1))
    records.append(house.sweep.shard(1), records.Kind.RUNG, {"value": 1}, sweep=SWEEP)

    book.finished("id1", {"outcome": "completed", "metrics": {}, "error": None})
    book.publish()
    book.release()

    kinds = [entry.kind for entry in records.read(house.sweep.shard(1), sweep=SWEEP)]
    assert kinds == ["rung", "result"]
