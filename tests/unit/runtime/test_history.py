"""What earlier attempts left, judged without any file."""

import pytest

from hpc_sweep.ledger import ShardState
from hpc_sweep.runtime.history import Past, interrupted, recall
from hpc_sweep.runtime.process import Silence


def line(trial, outcome=None, *, retryable=True):
    """Return a line of results.jsonl."""
    error = None if outcome else {"reason": "signal 9", "text": "", "retryable": retryable, "tries": 1}
    return {"trial": trial, "outcome": outcome, "metrics": {}, "error": error}


def start(trial):
    """Return the line of progress.jsonl that begins a trial."""
    return {"event": "start", "trial": trial}


@pytest.mark.parametrize(
    ("past", "charged"),
    [
        (Past(), ()),
        (Past(progress=(start("a"),)), ("a",)),
        (Past(results=(line("a"),), progress=(start("a"), start("b"))), ("b",)),
        (Past(results=(line("a", "completed"),), progress=(start("a"), start("b"))), ()),
        (Past(results=(line("a"),), progress=(start("a"),)), ()),
        (Past(results=(line("a"),), progress=(start("a"), start("a"))), ("a",)),
        (Past(progress=(start("a"), {"event": "saved", "trial": "a"})), ()),
        (Past(progress=(start("a"), {"event": "superseded"})), ()),
        (Past(progress=(start("a"), {"event": "stopping", "signal": "SIGINT"})), ()),
        (Past(progress=(start("a"), {"event": "stopping", "signal": "SIGTERM"})), ("a",)),
        (Past(progress=(start("a"),), alive=True), ()),
    ],
    ids=[
        "nothing begun",
        "died in its first trial",
        "died in its second",
        "had finished one",
        "failed, then died between",
        "died in a retry",
        "had saved",
        "was superseded",
        "was ended by a person",
        "was stopped without progress",
        "still lives",
    ],
)
def test_an_attempt_that_died_is_charged_to_the_trial_it_was_in(past, charged):
    """Unless it had got something done, or was not to blame."""
    assert interrupted(past) == charged


def died(*trials):
    """Return the line of progress.jsonl of a stack whose worker died."""
    return {"event": "died", "trials": list(trials), "got_on": False}


@pytest.mark.parametrize(
    ("past", "charged"),
    [
        (
            Past((line("a"),), (start("a"), start("b"), died("a", "b"), start("a"), start("b"))),
            ("b",),
        ),
        (
            Past((line("a"),), (start("a"), start("a"), start("b"), died("a", "b"), start("a"), start("b"))),
            ("a", "b"),
        ),
        (
            Past((line("a"),), (start("a"), start("b"), {"event": "stopped", "trial": "b"}, start("b"), start("a"))),
            ("b", "a"),
        ),
        (
            Past((line("b"),), (start("a"), start("b"), {"event": "stopped", "trial": "a"}, start("a"))),
            ("a",),
        ),
    ],
    ids=["failed after the stack died", "failed before it did", "retried with another", "went on in a fresh process"],
)
def test_what_began_before_a_death_does_not_count_as_begun_since(past, charged):
    """Who ended in between is in nothing any more, and the trial that was alone then is charged."""
    assert interrupted(past) == charged


def test_an_attempt_whose_stack_was_stuck_charges_one_trial():
    """The choices do not bind there, so that no smaller stack would ever be charged."""
    past = Past(progress=({"event": "stack", "trials": ["a", "b"]},))

    assert dict(recall(ShardState(), [past] * 2).tries) == {}
    assert dict(recall(ShardState(), [past] * 3).tries) == {"a": 1}


def test_tries_are_failures_and_interruptions():
    """Both are counted over all attempts."""
    pasts = [Past(results=(line("a"), line("b")), progress=(start("a"), start("b"), start("c"))), Past((line("a"),))]

    history = recall(ShardState(), pasts)

    assert dict(history.tries) == {"a": 2, "b": 1, "c": 1}
    assert dict(history.interruptions) == {"c": 1}


def test_an_outcome_outranks_every_failure():
    """Whatever came later."""
    pasts = [Past((line("a", "completed"),)), Past((line("a", retryable=False),))]

    history = recall(ShardState(), pasts)

    assert history.outcomes == {"a"}
    assert history.refused == frozenset()


def test_of_two_finished_lines_the_first_is_published():
    """The second is not even late: its attempt trained what was there already."""
    first, second = {**line("a", "completed"), "attempt": "1"}, {**line("a", "completed"), "attempt": "2"}

    assert recall(ShardState(), [Past((first,)), Past((second,))]).unpublished == (first,)


def test_what_the_log_has_is_not_published_again():
    """Not even by the attempt after the next."""
    state = ShardState(results={"a": line("a", "completed")})

    assert recall(state, [Past((line("a", "completed"),))]).unpublished == ()


def test_a_final_failure_is_refused_until_somebody_asks():
    """Once for each submission that asks."""
    past = Past((line("a", retryable=False),))

    assert recall(ShardState(), [past]).refused == {"a"}
    assert recall(ShardState(), [past, Past(again="x")]).refused == frozenset()
    assert recall(ShardState(), [Past(again="x"), past, Past(again="x")]).refused == {"a"}
    assert recall(ShardState(failures={"a": past.results[0]}), [Past(again="x")]).refused == frozenset()


def test_a_suspended_supervisor_blames_nobody():
    """An hour in which it did not run itself counts as a moment."""
    silence = Silence(60.0)
    silence._looked -= 3600
    silence.look(heard=False)

    assert not silence.too_long
    for _ in range(31):
        silence._looked -= 3600
        silence.look(heard=False)
    assert silence.too_long
    silence.look(heard=True)
    assert not silence.too_long


def test_a_checkpoint_that_nobody_heard_of_counts_as_progress():
    """The supervisor may die between the save and the word of it; what was only taken over is no progress."""
    died = (start("a"),)
    pasts = [Past(progress=died, reached={"a": 2}), Past(progress=died, reached={"a": 3})]

    assert dict(recall(ShardState(), pasts).tries) == {}
    assert dict(recall(ShardState(), [*pasts, Past(progress=died, reached={"a": 3})]).tries) == {"a": 1}


def test_a_final_failure_that_nobody_published_is_published():
    """Its attempt died before it could; without the note the trial would look lost, and be sent out again."""
    final = line("a", retryable=False)

    assert recall(ShardState(), [Past((final,))]).unpublished == (final,)
    assert recall(ShardState(failures={"a": final}), [Past((final,))]).unpublished == ()
    assert recall(ShardState(), [Past((line("a"),))]).unpublished == ()
