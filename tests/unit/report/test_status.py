"""What a person at a terminal is told of a sweep."""

from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.status import status_lines
from tests.builders import build, publish


def test_only_an_outcome_that_differs_is_a_conflict(tmp_path):
    """A trial that ended again as it did before, on another host and in other time, is no news; each is told once."""
    sweep = build(tmp_path / "s", {"x": [1, 2]}, lambda *_: 0.5)
    first, second = read_ledger(sweep).rows
    publish(sweep, 1, [{**first.result, "seconds": 99.0, "host": "node2"}])
    publish(sweep, 2, [{**second.result, "metrics": {"val/accuracy": 0.9}}])
    publish(sweep, 2, [{**second.result, "metrics": {"val/accuracy": 0.8}}])

    state = read_ledger(sweep)
    told = [line for line in status_lines(state) if line.startswith("Conflict")]

    assert len(state.late) == 3
    assert told == [f"Conflict: trial {second.trial.id[:12]} ended twice, differently; the first outcome stands."]
