"""When checkpoints are due: for all that train together, after the same epoch."""

from hpc_sweep.runtime.pace import SAVE_SHARE, Pace


def test_all_of_a_round_get_one_answer():
    """What the first is told holds for the others, although time goes on; the first that asks again opens a round."""
    pace = Pace(1e9)
    assert [pace.due(trial) for trial in "abc"] == [False] * 3

    pace._saved -= 2e9

    assert [pace.due(trial) for trial in "cab"] == [True] * 3


def test_the_cost_of_a_round_is_that_of_all_its_checkpoints():
    """Each save tells what the round has cost up to now, and the next round waits accordingly."""
    pace = Pace(1e-9)
    assert all(pace.due(trial) for trial in "ab")
    assert [pace.spent(seconds) for seconds in (3.0, 4.0)] == [3.0, 7.0]

    assert not pace.due("a")
    assert pace._interval() == 7.0 / SAVE_SHARE


def test_a_trial_that_begins_alone_starts_anew():
    """What was saved of others before it says nothing about its own."""
    pace = Pace(1e9)
    pace._saved -= 2e9
    pace.begin()

    assert not pace.due("a")


def test_without_an_interval_every_epoch_is_kept():
    """0 is for tests, and for those who want it."""
    pace = Pace(0.0)

    assert all(pace.due(trial) for _ in range(3) for trial in "ab")
