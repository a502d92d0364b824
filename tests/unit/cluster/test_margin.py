"""The margin before a time limit follows from what epochs and saves took."""

import pytest

from hpc_sweep.cluster import margin
from hpc_sweep.cluster.intent import Intent
from hpc_sweep.ledger import read_ledger
from tests.builders import build


def sweep_of(folder, seconds, saves=(), measured=None):
    """Return a sweep whose one trial of three epochs took so long, and whose attempt noted such saves."""
    ending = {
        "metrics": {"val/accuracy": 0.5},
        "epochs": 3,
        "seconds": seconds,
        "extras": {"stack": {"epoch_seconds": measured}},
    }
    sweep = build(folder / "s", {"x": [1]}, lambda *_: ending, shards=1)
    attempt = sweep.attempt(1, 1)
    attempt.progress.parent.mkdir(parents=True)
    lines = [f'{{"event":"saved","trial":"t","epoch":1,"seconds":{took}}}\n' for took in saves]
    attempt.progress.write_text("".join(lines))
    return sweep


def told(sweep, **parameters):
    """Return how many seconds before its limit a job is told."""
    intent = Intent("t", "slurm", (1,), 1, "/", (), parameters=parameters)
    return margin.measured(intent, sweep, read_ledger(sweep)).parameters.get("signal_delay_s")


@pytest.mark.parametrize(
    ("seconds", "saves", "delay"),
    [(3.0, (), 120), (3.0, (1.0, 200.0), 471), (900.0, (5.0,), 380)],
    ids=["as asked", "a slow save", "slow epochs"],
)
def test_a_job_is_told_early_enough_for_the_slowest_epoch_and_save(tmp_path, seconds, saves, delay):
    """What was asked is the least; a save counts twice, as it may be in progress when the signal comes."""
    assert told(sweep_of(tmp_path, seconds, saves), signal_delay_s=120, timeout_min=60) == delay


def test_an_epoch_that_was_measured_counts_as_it_is(tmp_path):
    """A trial's seconds are its share of a stack, or of its last attempt only: neither says how long an epoch was."""
    assert told(sweep_of(tmp_path, 90.0, measured=240.0), signal_delay_s=120, timeout_min=60) == 310


def test_at_most_half_of_the_time_limit_is_spent_on_stopping(tmp_path):
    """A job that is told at once would never train."""
    assert told(sweep_of(tmp_path, 9000.0), signal_delay_s=120, timeout_min=10) == 300


def test_without_a_signal_nothing_is_measured(tmp_path):
    """A launcher that asks for none gets none."""
    assert told(sweep_of(tmp_path, 900.0)) is None
