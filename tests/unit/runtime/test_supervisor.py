"""A shard's supervisor and its worker, as real processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hpc_sweep import records
from hpc_sweep.runtime.book import LONGEST, SHORTEST, interval
from hpc_sweep.runtime.claim import alive, claim, superseded
from hpc_sweep.runtime.context import current
from hpc_sweep.runtime.supervisor import SUPERSEDED, supervise
from hpc_sweep.trial import Outcome, Result

SWEEP = "sweep-id"


def scores(trial, context):
    """Train as the simplest task does."""
    context.report(1, {"val/score": float(trial.params["x"])})
    return Result(Outcome.COMPLETED, {"val/score": float(trial.params["x"])}, epochs=1)


def with_accident(number, accident):
    """Return what loads a task that has an accident in one trial."""

    def train(trial, context):
        if trial.number == number:
            accident()
        return scores(trial, context)

    return train


def raise_error():
    """Fail as a task does."""
    raise ValueError("no such thing")


def test_every_trial_of_a_calm_shard_has_its_outcome(house, sweep):
    """All results are published, once, and the attempt has its end."""
    assert house.attempt(scores) == 0

    state = house.ledger()

    assert state.counts["completed"] == 6
    assert [row.result["metrics"]["val/score"] for row in state.rows] == [1, 2, 3, 4, 5, 6]
    assert list(records.read(sweep.shard(1), sweep=SWEEP))[-1].body["counts"] == {"completed": 6, "failed": 0}


@pytest.mark.parametrize(
    ("accident", "reason"),
    [
        (raise_error, "exception"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal 9"),
        (lambda: os.kill(os.getpid(), signal.SIGVTALRM), "signal 26"),
        (lambda: os._exit(137), "exit 137"),
        (lambda: sys.exit(3), "exit"),
    ],
    ids=["raises", "killed", "other signal", "exits", "sys.exit"],
)
def test_one_failing_trial_ends_only_itself(house, accident, reason):
    """Whatever a trial does, its siblings finish, and the shard's exit status says that one failed."""
    assert house.attempt(with_accident(3, accident)) == 1

    rows = house.ledger().rows

    assert [row.status for row in rows] == ["completed"] * 2 + ["failed"] + ["completed"] * 3
    assert rows[2].failure["error"]["reason"] == reason


def test_the_traceback_of_a_failure_is_in_the_log(house, sweep):
    """A person finds out why."""
    house.attempt(with_accident(2, raise_error))

    log = sweep.attempt(1, 1).log.read_text()

    assert "Traceback" in log
    assert "ValueError: no such thing" in log


def test_a_result_that_is_no_json_is_a_failure(house):
    """What cannot be recorded is refused where it was made."""

    def train(trial, context):
        del trial, context
        return Result(Outcome.COMPLETED, {"val/score": float("nan")})

    assert house.attempt(train) == 1
    assert house.ledger().counts["failed"] == 6


def test_a_task_that_cannot_be_loaded_fails_every_trial_with_its_reason(house):
    """An import error is told for each trial."""

    def load():
        raise ModuleNotFoundError("No module named 'theirs'")

    supervise(house.shard(), load)

    assert {row.failure["error"]["text"] for row in house.ledger().rows} == {
        "ModuleNotFoundError: No module named 'theirs'"
    }


def test_a_finished_shard_trains_nothing_again(house, sweep):
    """The second attempt finds all outcomes."""
    house.attempt(scores)

    assert house.attempt(with_accident(1, raise_error)) == 0
    assert house.ledger().counts["completed"] == 6
    assert sweep.attempt(1, 2).results.read_bytes() == b""


def test_what_a_predecessor_finished_is_published_and_not_trained_again(house, sweep):
    """A trial that is durable in `results.jsonl` survives the death of its supervisor."""
    first = claim(sweep, 1)
    descriptor = os.open(first.results, os.O_WRONLY | os.O_CREAT)
    line = {"trial": "id1", "outcome": "completed", "metrics": {"val/score": 99.0}, "attempt": "0001/1"}
    records.write_line(descriptor, line)
    os.write(descriptor, b'{"trial": "id2", "outc')  # the supervisor died here
    os.close(descriptor)

    house.attempt(scores)

    rows = house.ledger().rows
    assert [row.result["metrics"]["val/score"] for row in rows] == [99, 2, 3, 4, 5, 6]


def test_an_attempt_that_finds_a_newer_one_stops_and_publishes_nothing_more(house, sweep):
    """The highest attempt owns the shard."""

    def train(trial, context):
        if trial.number == 2:
            claim(sweep, 1)
            time.sleep(SHORTEST + 1)  # longer than until the next publication
        return scores(trial, context)

    assert house.attempt(train) == SUPERSEDED

    published = [entry for entry in records.read(sweep.shard(1), sweep=SWEEP) if entry.kind is records.Kind.END]
    assert published == []
    assert superseded(sweep, 1, sweep.attempt(1, 1))


def test_what_is_noted_of_a_result_is_in_the_log_of_its_trial(house, sweep):
    """A person who asks for the log of a trial that diverged reads why, under that trial's head and no other."""

    def train(trial, context):
        if trial.number == 2:
            return Result(Outcome.DIVERGED, {}, note="the loss is not finite before the first step")
        return scores(trial, context)

    assert house.attempt(train) == 0
    logs = sweep.attempt(1, 1).log.read_text().split("--- trial ")[1:]

    assert ["not finite" in log for log in logs] == [False, True, False, False, False, False]


def test_claims_are_exclusive(sweep):
    """Each claim makes its own attempt."""
    assert [claim(sweep, 1).number for _ in range(3)] == [1, 2, 3]


def test_a_claim_tells_whether_its_process_lives(sweep):
    """The process number alone would not do: it is used again."""
    note = json.loads(claim(sweep, 1).claim.read_text())

    assert alive(note) is True
    assert alive(note | {"pid_start": "1"}) is False
    assert alive(note | {"host": "elsewhere"}) is None


def test_a_worker_dies_with_its_supervisor(tmp_path, wait_for, running):
    """No orphan trains on."""
    code = """
import os, sys, time, multiprocessing, pathlib
from hpc_sweep.runtime import worker
def child(note):
    worker._die_with_supervisor()
    pathlib.Path(note).write_text(str(os.getpid()))
    while True: time.sleep(1)
process = multiprocessing.get_context("fork").Process(target=child, args=(sys.argv[1],))
process.start()
process.join()
"""
    note = tmp_path / "pid"
    supervisor = subprocess.Popen([sys.executable, "-c", code, note])
    wait_for(lambda: note.exists() and note.read_text())
    child = int(note.read_text())

    supervisor.kill()
    supervisor.wait()

    wait_for(lambda: not running(child))


def test_a_trial_finds_its_context(house, sweep):
    """A task that is handed nothing asks for the context of the trial that runs."""

    def train(trial, context):
        del context
        current().report(1, {"val/score": 0.25, "val/bad": float("nan")})
        return Result(Outcome.COMPLETED, {"val/score": float(trial.number)})

    house.attempt(train)

    lines = records.read_lines(sweep.attempt(1, 1).progress, sealed=False)
    assert {"event": "progress", "trial": "id1", "epoch": 1, "metrics": {"val/score": 0.25}} in lines


@pytest.mark.parametrize(("age", "seconds"), [(0, SHORTEST), (1_000, 10.0), (1_000_000, LONGEST)])
def test_the_interval_between_publications_grows_with_the_age_of_the_attempt(age, seconds):
    """Short sweeps are seen soon, long ones make few files."""
    assert interval(age) == seconds
