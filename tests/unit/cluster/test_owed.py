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
def ledger(tmp_path):
    """Return the state of four shards: completed, failed for good, failed with tries left, nothing yet."""
    sweep = build(tmp_path / "s", {"x": [1, 2, 3, 4]}, lambda params, _: ENDINGS[params["x"]], shards=4)
    return read_ledger(sweep)


def sent(number, shards, published):
    intent = Intent("t", "slurm", tuple(shards), 1, "/", (), published=published)
    return Submission(number, intent, ("7",))


def test_what_has_no_outcome_and_tries_left_is_owed(ledger):
    """A failure for good is owed when a person asks for it."""
    assert owed.shards(ledger) == [3, 4]
    assert owed.shards(ledger, again=True) == [2, 3, 4]
    assert owed.shards(ledger, among=[1, 4]) == [4]
    assert owed.published(ledger) == 3


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
    assert owed.after_round(ledger, log) == expected
