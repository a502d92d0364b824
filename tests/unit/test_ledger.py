"""From logs to the state of a sweep."""

import threading

import pytest

from hpc_sweep import ledger, paths, records
from hpc_sweep.errors import ForeignSweepError
from hpc_sweep.ledger import ShardState, read_ledger, status
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, partition
from hpc_sweep.records import Kind
from hpc_sweep.trial import Trial

SWEEP = "s"


@pytest.fixture
def sweep(tmp_path):
    """Return a sweep of six trials in two shards."""
    place = paths.Sweep(tmp_path)
    ledger.write_identity(place, ledger.Identity(SWEEP, Objective("val/s", "max"), "", {}, "", {}, ""))
    plan(place, range(1, 7), first_shard=1)
    return place


def plan(place, numbers, first_shard):
    """Plan trials in two shards."""
    trials = [Trial(n, f"id{n}", (), {"x": n}, None, ()) for n in numbers]
    sizes = partition(len(trials), shards=2, trials_per_shard=None)
    append_part(place.plan, trials, sizes, sweep=SWEEP, base={}, form="rebuilt", first_shard=first_shard)


def line(number, outcome="completed", **more):
    """Return the line of a trial."""
    error = None if outcome else {"reason": "signal 9", "text": "", "retryable": False, "tries": 3}
    return {"trial": f"id{number}", "outcome": outcome, "metrics": {}, "error": error, **more}


def publish(place, shard, *lines):
    """Publish lines in one entry."""
    records.append(place.shard(shard), Kind.RESULT, {"results": lines}, sweep=SWEEP)


def test_the_first_outcome_stands_and_a_different_second_is_late(sweep):
    """The same line twice is nobody's conflict."""
    publish(sweep, 1, line(1, attempt="1", score=1), line(2))
    publish(sweep, 1, line(1, attempt="2", score=2), line(2))

    state = read_ledger(sweep)

    assert state.rows[0].result["score"] == 1
    assert [late["score"] for late in state.late] == [2]


def test_any_outcome_outranks_a_failure_whichever_came_first(sweep):
    """A failure is a note."""
    publish(sweep, 1, line(1, None), line(2))
    publish(sweep, 1, line(1), line(2, None))

    assert [row.status for row in read_ledger(sweep).rows[:2]] == ["completed", "completed"]


def begun(*trials):
    """Return the state of a shard whose first attempt began some trials."""
    return ShardState(attempt=1, started=frozenset(trials))


RETRYABLE, FINAL = {"error": {"retryable": True}}, {"error": {"retryable": False}}


@pytest.mark.parametrize(
    ("state", "over", "held", "expected"),
    [
        (ShardState(), False, False, "planned"),
        (ShardState(), True, False, "lost"),
        (ShardState(), False, True, "held"),
        (begun("a"), False, False, "running"),
        (begun("b"), False, False, "planned"),
        (begun("a"), True, False, "lost"),
        (ShardState(attempt=1, end=1), False, False, "lost"),
        (ShardState(attempt=2, end=1), False, False, "planned"),
        (ShardState(failures={"a": FINAL}), False, False, "failed"),
        (ShardState(failures={"a": RETRYABLE}, attempt=1, started=frozenset("a")), False, False, "running"),
        (ShardState(failures={"a": RETRYABLE}), True, False, "failed"),
        (ShardState(failures={"a": FINAL}, results={"a": {"outcome": "pruned"}}), True, True, "pruned"),
    ],
)
def test_where_a_trial_stands(state, over, held, expected):
    """An outcome before a failure, a failure before what the job does, and a retry is no failure yet."""
    assert status(state, "a", over=over, held=held) == expected


def test_reading_on_equals_reading_all(sweep):
    """Entries, attempts, parts of the plan and endings that came since are found, and what was known is kept."""
    publish(sweep, 1, line(1))
    known = read_ledger(sweep)
    publish(sweep, 1, line(2))
    publish(sweep, 2, line(4, None))
    plan(sweep, range(7, 9), first_shard=3)
    attempt = sweep.attempt(1, 1)
    attempt.root.mkdir(parents=True)
    attempt.progress.write_text('{"event":"start","trial":"id3"}\n{"event":"start","trial":"id')

    now = read_ledger(sweep, known=known)

    assert now == read_ledger(sweep)
    assert [row.status for row in now.rows[:4]] == ["completed", "completed", "running", "failed"]
    assert known.counts["completed"] == 1


def test_reading_on_opens_nothing_that_is_known(sweep):
    """An old entry may even be gone from this disk."""
    publish(sweep, 1, line(1))
    known = read_ledger(sweep)
    publish(sweep, 1, line(2))
    (sweep.shard(1) / "000001.json").write_text("would be corrupt")

    assert read_ledger(sweep, known=known).counts["completed"] == 2


def test_a_shard_that_had_problems_is_read_again(sweep):
    """What was not readable may be so now."""
    publish(sweep, 1, line(1))
    path = sweep.shard(1) / "000001.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    known = read_ledger(sweep)
    path.write_bytes(whole)

    assert len(known.problems) == 1
    assert read_ledger(sweep, known=known) == read_ledger(sweep)


def test_a_hole_in_a_log_is_told(sweep):
    """Which number is missing, how many entries are not read for it, and what to type; entries behind it wait."""
    for number in (1, 2, 3):
        publish(sweep, 1, line(number))
    away = sweep.root / "away"
    (sweep.shard(1) / "000001.json").rename(away)
    state = read_ledger(sweep)

    assert state.counts["completed"] == 0
    (problem,) = state.problems
    assert "The log shards/0001 has no entry 000001: 2 entries behind it are there and not read." in problem
    assert "hpc-sweep resume" in problem

    away.rename(sweep.shard(1) / "000001.json")
    again = read_ledger(sweep, known=state)
    assert (again.problems, again.counts["completed"]) == ((), 3)


def test_a_hole_is_believed_only_past_the_caches(sweep, monkeypatch):
    """An entry that is not visible yet is waited for; what it hid is read then."""
    monkeypatch.setenv("HPC_SWEEP_PATIENCE", "20")
    for number in (1, 2, 3):
        publish(sweep, 1, line(number))
    away, place = sweep.root / "away", sweep.shard(1) / "000002.json"
    place.rename(away)
    later = threading.Timer(0.3, away.rename, [place])
    later.start()
    state = read_ledger(sweep)
    later.join()

    assert (state.problems, state.counts["completed"]) == ((), 3)


@pytest.mark.parametrize("log", ["plan", "submissions"])
def test_holes_of_the_other_logs_are_told_too(sweep, log):
    """No shard can fill them, so only bringing the entry back is advised."""
    (sweep.root / log).mkdir(exist_ok=True)
    (sweep.root / log / "000003.jsonl").write_text("")

    (problem,) = read_ledger(sweep).problems

    number = "000002" if log == "plan" else "000001"
    assert f"The log {log} has no entry {number}: 1 entry behind it is there and not read." in problem
    assert "resume" not in problem


def test_a_damaged_record_is_to_be_left_where_it_is(sweep):
    """The advice does not lose more than the entry held."""
    publish(sweep, 1, line(1))
    (sweep.shard(1) / "000001.json").write_text("{")

    (problem,) = read_ledger(sweep).problems

    assert "leave it where it is" in problem
    assert "hpc-sweep resume" in problem


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    """With what to type."""
    with pytest.raises(ForeignSweepError, match="no sweep"):
        read_ledger(paths.Sweep(tmp_path))


def test_the_folder_belongs_to_the_first(sweep):
    """A second sweep is refused, and the first one's identity says how its logs are kept."""
    other = ledger.Identity("other", Objective("val/s", "max"), "", {}, "", {}, "")

    assert not ledger.write_identity(sweep, other)
    assert (ledger.read_identity(sweep).sweep, ledger.read_identity(sweep).log_mode) == (SWEEP, "link")


def test_the_last_words_of_a_shard_that_is_over_are_waited_for(sweep):
    """Its end may not be visible yet; a reader that is patient sees it before it calls a trial lost."""
    sweep.attempt(1, 1).root.mkdir(parents=True)
    late = threading.Timer(0.3, lambda: [publish(sweep, 1, line(1), line(2), line(3)), end(sweep, 1)])
    late.start()

    assert read_ledger(sweep, over=[1]).counts["lost"] == 3
    assert read_ledger(sweep, over=[1], patience=30.0).counts["completed"] == 3
    late.join()


def end(place, shard):
    """Publish the end of the first attempt of a shard."""
    records.append(place.shard(shard), Kind.END, {"attempt": 1, "counts": {}}, sweep=SWEEP)


def test_choices_are_kept_in_order_and_change_no_status(sweep):
    """How stacks train is there for the next attempt; reading on does not change what was read before."""
    records.append(sweep.shard(1), Kind.CHOICE, {"choice": {"engine": "grouped", "size": 3}}, sweep=SWEEP)
    before = read_ledger(sweep)
    records.append(sweep.shard(1), Kind.CHOICE, {"choice": {"engine": "grouped", "size": 1}}, sweep=SWEEP)
    after = read_ledger(sweep, known=before)

    assert [choice["size"] for choice in before.shards[1].choices] == [3]
    assert [choice["size"] for choice in after.shards[1].choices] == [3, 1]
    assert after.counts == before.counts
    assert after.counts["planned"] == 6
