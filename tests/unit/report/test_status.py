"""What a person at a terminal is told of a sweep."""

import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.status import NAMED, status_lines
from hpc_sweep.report.trial_log import trial_log
from hpc_sweep.runtime.claim import claim
from tests.builders import build, diverged, failed, publish


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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A rate is a number, and x is not.\nKey: lr\nType lr=1", "A rate is a number, and x is not. Type lr=1"),
        ("RuntimeError: no", "RuntimeError: no"),
        ("", ""),
        ('Traceback (most recent call last):\n  File "a.py", line 1\nKeyError: 3', "KeyError: 3"),
        ('File "a.py", line 1\n    x =\n       ^\nSyntaxError: invalid syntax', "SyntaxError: invalid syntax"),
    ],
    ids=["sentences", "one line", "nothing", "traceback", "syntax"],
)
def test_a_failure_is_told_by_what_it_is_and_what_to_do(tmp_path, text, told):
    """Of sentences the first says what is wrong and the last what to type; of a traceback only the last says it."""
    sweep = build(tmp_path / "s", {"x": [1]}, lambda *_: failed("refused", text))

    assert status_lines(read_ledger(sweep))[1:] == [f"Run 1 failed (refused): {told}"]


def test_what_diverged_is_named_with_its_note(tmp_path):
    """As what failed is: run by run up to a number, then how many more."""
    sweep = build(
        tmp_path / "s",
        {"x": list(range(NAMED + 3))},
        lambda params, _: diverged("loss is \x1bnan") if params["x"] else 0.5,
    )

    lines = status_lines(read_ledger(sweep))

    assert lines[1:] == [
        *(f"Run {number} diverged: loss is \ufffdnan" for number in range(2, NAMED + 2)),
        "… and 2 more diverged.",
    ]


def test_the_log_of_an_attempt_that_began_no_trial_is_no_trials_own(tmp_path):
    """A worker that died while it imported has printed something: the trial's log says that there is nothing of it."""
    sweep = build(tmp_path / "s", {"x": [1]}, lambda *_: None)
    attempt = claim(sweep, 1)
    attempt.log.write_text("ImportError: no\n")

    with pytest.raises(UserError, match="has not printed anything yet"):
        trial_log(sweep, read_ledger(sweep).rows[0].trial)
