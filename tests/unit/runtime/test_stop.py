"""Signals: they only ask, and what was finished or saved is there for the next attempt."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpc_sweep.runtime.stop import SIGNALS, Flag, Signals, lead
from hpc_sweep.runtime.supervisor import STOPPED, grace
from hpc_sweep.trial import Outcome, Result


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_an_attempt_that_is_asked_to_stop_publishes_and_leaves(house, polite, wait_for, number):
    """Its status is its own, it has no end, and the next attempt trains the rest."""

    def train(trial, context):
        if trial.number == 3:
            house.note("third")
            polite(trial, context)
        return Result(Outcome.COMPLETED, {"val/score": 1.0})

    process = house.spawn(train)
    wait_for(lambda: house.noted() == ["third"])
    os.kill(process.pid, number)
    process.join()

    assert process.exitcode == STOPPED
    assert house.ledger().counts["completed"] == 2
    assert house.ends() == 0
    assert house.attempt() == 0
    assert house.ledger().counts["completed"] == 6
    assert house.lines("id3") == [house.row(3).result]


def test_a_trial_that_is_asked_to_stop_goes_on_from_where_it_was(house, counting, wait_for):
    """A cheap trial has no checkpoint until it is asked to stop; then no epoch is lost and none is repeated."""
    calm = counting(house, epochs=400)
    slow = counting(house, epochs=400, cut=pausing(0.001))
    process = house.spawn(slow)
    wait_for(lambda: len(house.noted()) > 20)
    os.kill(process.pid, signal.SIGTERM)
    process.join()

    assert process.exitcode == STOPPED
    assert len(list(house.sweep.attempt(1, 1).checkpoints("id1").iterdir())) == 1
    assert house.attempt(calm) == 0
    assert house.noted() == [f"id{n} {epoch}" for n in range(1, 7) for epoch in range(1, 401)]


def test_a_trial_that_does_not_listen_is_ended_and_charged_nothing(house, deaf, wait_for, running):
    """A foreign task function knows nothing of stopping; it has its grace, and then the process is gone."""
    process = house.spawn(deaf, grace_seconds=0.3)
    wait_for(house.noted)
    os.kill(process.pid, signal.SIGTERM)
    process.join()

    assert process.exitcode == STOPPED
    assert not running(int(house.noted()[0].split()[1]))
    assert house.lines("id1") == []
    assert house.attempt() == 0


def test_a_storm_of_signals_harms_nothing(house, counting):
    """Every signal every few milliseconds, to the supervisor and to all that it started, until it is gone."""
    calm = counting(house, epochs=30)
    process = house.spawn(counting(house, epochs=30, cut=pausing(0.01)))
    for _ in range(5):
        while process.is_alive():
            for number in SIGNALS:
                for pid in (process.pid, *children(process.pid)):
                    send(pid, number)
            time.sleep(0.005)
        process.join()
        assert process.exitcode in {0, STOPPED, -signal.SIGTERM, -signal.SIGUSR2, -signal.SIGINT, 1}
        process = house.spawn(counting(house, epochs=30, cut=pausing(0.002)))
    process.join()

    assert house.attempt(calm) == 0
    assert house.ledger().counts["completed"] == 6
    assert house.ledger().late == ()
    assert house.ledger().problems == ()


def test_a_signal_between_two_trials_stops_before_the_next(house):
    """Nothing is begun that would have to be thrown away."""

    def train(trial, context):
        del context
        house.note(trial.id)
        os.kill(os.getppid(), signal.SIGUSR2)
        time.sleep(0.2)
        return Result(Outcome.COMPLETED, {"val/score": 1.0})

    process = house.spawn(train)
    process.join()

    assert process.exitcode == STOPPED
    assert house.noted() == ["id1"]
    assert house.ledger().counts["completed"] == 1


def test_what_a_trial_starts_hears_signals_as_usual(house):
    """A program that a trial starts, and a process that it forks, can be terminated."""

    def train(trial, context):
        del trial, context
        program = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        program.terminate()
        forked = os.fork()
        if forked == 0:
            signal.pause()
        os.kill(forked, signal.SIGTERM)
        ended = (program.wait(), os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
        return Result(Outcome.COMPLETED, {"val/score": float(ended == (-15, -15))})

    assert house.attempt(train) == 0
    assert house.row(1).result["metrics"] == {"val/score": 1.0}


def test_the_handlers_of_the_caller_are_put_back():
    """A program that runs a shard in its own process keeps its signals."""
    before = [signal.getsignal(number) for number in SIGNALS]
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert signals.flag.signal == signal.SIGUSR2

    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_the_first_signal_is_remembered():
    """Why an attempt stopped does not change any more."""
    flag = Flag()
    threads = [threading.Thread(target=flag.raise_for, args=(number,)) for number in (15, 15, 15)]
    for thread in threads:
        thread.start()
        thread.join()
    flag.raise_for(2)

    assert flag.signal == 15


def test_the_lead_of_a_job_grows_with_its_saves():
    """Slurm may be a minute early, and two saves must fit."""
    assert lead(0.1) == 70
    assert lead(100.0) == 270


def test_the_time_to_stop_follows_from_who_asks(house):
    """Before a time limit there is all the time that was asked for; a person at a terminal waits for seconds only."""
    shard = house.shard(lead_seconds=300.0)

    assert grace(shard, signal.SIGUSR2) == 275
    assert grace(shard, signal.SIGTERM) == 25
    assert grace(shard, signal.SIGINT) == 5


def children(pid):
    """Return the processes that a process has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def send(pid, number):
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def pausing(seconds):
    """Return what makes each epoch of the counting task take some time."""

    def cut(trial, epoch):
        del trial, epoch
        time.sleep(seconds)

    return cut
