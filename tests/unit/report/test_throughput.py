"""What shards get done in what time, in words and in numbers."""

from hpc_sweep import records
from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.throughput import NAMED, Throughput, throughput_lines, throughputs
from tests.builders import SWEEP, build

RUNS = Throughput(attempt=2, trials=42, epochs=630, seconds=4203.0, training_seconds=4076.9)


def test_a_shard_that_runs_is_told_in_a_sentence():
    """Trials, their time, trials per hour, and the share of the time in which it trained."""
    line = "Shard 3: 42 trials in 1:10:03, 36 trials per hour, 97 % of the time training."

    assert throughput_lines({3: RUNS, 4: RUNS}, {3}) == [line]


def test_of_many_shards_some_are_named():
    """A sweep of hundreds of shards is still told on one screen."""
    lines = throughput_lines(dict.fromkeys(range(1, 101), RUNS), range(1, 101))

    assert len(lines) == NAMED + 1
    assert lines[-1] == "… and 80 more shards run."


def test_without_time_there_is_no_rate():
    """An attempt that had nothing left to train has neither rates nor a share."""
    told = Throughput(1, 0, 0, 0.0, 0.0).as_json()

    assert [told[name] for name in ("trials_per_hour", "epochs_per_second", "training_share")] == [None, None, None]


def test_an_attempt_that_ended_is_told_by_its_own_record(tmp_path):
    """Its seconds are those of its last entry, its trials those of the log; a shard without an end is not told."""
    sweep = build(tmp_path / "s", {"x": [1, 2, 3, 4]}, lambda *_: 0.5)
    counted = {"epochs": 30, "epochs_per_second": 0.75, "starting_seconds": 8.0, "training_seconds": 40.0, "workers": 1}
    body = {"attempt": 1, "counts": {"completed": 2, "failed": 0}, "throughput": counted}
    records.append(sweep.shard(1), records.Kind.END, body, sweep=SWEEP, attempt="0001/1")
    sweep.attempt(1, 1).root.mkdir()

    found = throughputs(sweep, read_ledger(sweep), running=())

    assert found.keys() == {1}
    assert found[1].as_json() == {
        "attempt": 1,
        "trials": 2,
        "epochs": 30,
        "seconds": 48.0,
        "training_seconds": 40.0,
        "trials_per_hour": 150.0,
        "epochs_per_second": 0.75,
        "training_share": 0.833,
    }
