"""What is owed is decided from the records alone."""

import pytest

from hpc_sweep.cluster import owed
from hpc_sweep.cluster.intent import Intent, Submission
from hpc_sweep.ledger import read_ledger
from tests.builders import build


def failure(*, retryable):
    error = {"reason": "io", "text": "x", "retryable": retryable, "tries": 1}
    return {"outcome": None, "metrics": {}, "epochs": 0, "error": error}


ENDINGS = {1: 0.5, 2: failure(retryable=False), 3: failure(retryable=True), 4: None}


@pytest.fixture
def sweep(tmp_path):
    """Return a sweep of four shards: completed, failed for good, failed with tries left, nothing yet."""
    return build(tmp_path / "s", {"x": [1, 2, 3, 4]}, lambda params, _: ENDINGS[params["x"]], shards=4)


@pytest.fixture
def ledger(sweep):
    """Return the state of the sweep."""
    return read_ledger(sweep)


def sent(number, shards, published, saved=0):
    intent = Intent("t", "slurm", tuple(shards), 1, "/", (), published=published, saved=saved)
    return Submission(number, intent, ("7",))


def keep(sweep, trial, attempt, epoch):
    """Leave a checkpoint of a trial."""
    folder = sweep.attempt(trial.shard, attempt).checkpoints(trial.id)
    folder.mkdir(parents=True)
    (folder / f"epoch-{epoch:06d}.ckpt").touch()


def test_what_has_no_outcome_and_tries_left_is_owed(ledger):
    """A failure for good is owed when a person asks for it."""
    assert owed.shards(ledger) == [3, 4]
    assert owed.shards(ledger, again=True) == [2, 3, 4]
    assert owed.shards(ledger, among=[1, 4]) == [4]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([], [3, 4]),
        ([sent(1, [1, 2, 3, 4], 0)], [3, 4]),
        ([sent(1, [1, 2, 3, 4], 3)], []),
        ([sent(1, [1, 2, 3], 3)], [4]),
        ([sent(1, [1, 2, 3, 4], 0), sent(3, [3, 4], 3)], []),
    ],
    ids=["nothing sent", "progress", "no progress", "unsent", "no progress since"],
)
def test_a_steward_goes_on_after_progress_or_with_what_was_never_sent(ledger, log, expected):
    """Without progress the next round would end as the last one did."""
    assert owed.after_round(ledger, log, (3, 0)) == expected


def test_what_a_checkpoint_holds_is_progress(ledger):
    """A round that only saved is followed by another; one that saved nothing new is not."""
    log = [sent(1, [1, 2, 3, 4], 3, saved=5)]

    assert owed.after_round(ledger, log, (3, 6)) == [3, 4]
    assert owed.after_round(ledger, log, (3, 5)) == []


def test_progress_counts_endings_and_the_epochs_of_the_newest_checkpoints(sweep, ledger):
    """Of two attempts at a trial the further one counts; a trial that has ended counts as ended only."""
    ended, *_, unended = (row.trial for row in ledger.rows)
    keep(sweep, unended, 1, 4)
    keep(sweep, unended, 2, 7)
    keep(sweep, ended, 1, 9)

    assert owed.progress(sweep, ledger) == (3, 7)
