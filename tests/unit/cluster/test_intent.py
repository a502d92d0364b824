"""The submission log: one order, and what each intent is worth after all that was written behind it."""

import pytest

from hpc_sweep import paths
from hpc_sweep.cluster import admission
from hpc_sweep.cluster import intent as intents
from hpc_sweep.runtime.claim import notes
from tests.builders import SWEEP, Design, plan_sweep


@pytest.fixture
def sweep(tmp_path):
    """Return a planned sweep of four trials in four shards."""
    return plan_sweep(tmp_path / "sweep", Design({"x": [1, 2, 3, 4]}, shards=4))


def publish(sweep, shards, *, after=None, role=intents.ARRAY):
    template = intents.Intent("", "slurm", (), 1, "/", (), by=notes())
    after = intents.last(sweep) if after is None else after
    return intents.publish(sweep, SWEEP, template.over(shards, role=role), lambda n: f"script {n}", after=after)


def log(sweep):
    return {one.number: one for one in intents.submissions(sweep, SWEEP)}


def test_an_intent_is_published_behind_what_was_read_or_not_at_all(sweep):
    """Of two submitters that read the same log one is overtaken, and leaves nothing behind."""
    first = publish(sweep, [1, 2])
    overtaken = publish(sweep, [1, 2], after=0)

    assert (first, overtaken) == (1, 0)
    assert list(log(sweep)) == [1]
    assert len(list(sweep.submissions.glob("*.sbatch"))) == 1


def test_a_published_intent_has_its_script(sweep):
    """The script is there first, with the number that the intent got."""
    number = publish(sweep, [1])

    assert sweep.script(log(sweep)[number].intent.token).read_text() == f"script {number}"


def test_the_first_answer_stands(sweep):
    """An intent that was given up stays void, whatever its late submitter writes."""
    number = publish(sweep, [1])
    assert log(sweep)[number].unclear
    intents.answer(sweep, SWEEP, number, (), "not there")
    intents.answer(sweep, SWEEP, number, ["7"])

    assert (log(sweep)[number].jobs, log(sweep)[number].valid) == ((), False)


def test_a_cancellation_ends_all_before_it_and_nothing_after(sweep):
    """Resume after cancel works."""
    before = publish(sweep, [1])
    intents.append_cancel(sweep, SWEEP, intents.last(sweep))
    after = publish(sweep, [1])

    assert (log(sweep)[before].valid, log(sweep)[after].valid) == (False, True)


def start_as(monkeypatch, sweep, number, job):
    """Become a job of an intent."""
    monkeypatch.setenv("SLURM_JOB_NAME", log(sweep)[number].intent.token)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", job)


def test_one_job_only_runs_an_index_and_may_come_back(sweep, monkeypatch):
    """A ghost with the same token is turned away; the job itself is requeued at will."""
    number = publish(sweep, [1, 2])
    start_as(monkeypatch, sweep, number, "7")
    assert admission.refusal(sweep, SWEEP, number, 0) == ""
    assert admission.refusal(sweep, SWEEP, number, 0) == ""
    start_as(monkeypatch, sweep, number, "8")

    assert "Job 7" in admission.refusal(sweep, SWEEP, number, 0)
    assert admission.refusal(sweep, SWEEP, number, 1) == ""
    assert admission.started(sweep, number) == {"7", "8"}


@pytest.mark.parametrize("how", ["void", "cancelled", "outdated"])
def test_a_job_of_an_intent_that_is_not_wanted_does_nothing(sweep, monkeypatch, how):
    """Given up, cancelled, or followed by another intent for the same shard."""
    number = publish(sweep, [1, 2])
    if how == "void":
        intents.answer(sweep, SWEEP, number, (), "not there")
    elif how == "cancelled":
        intents.append_cancel(sweep, SWEEP, intents.last(sweep))
    else:
        publish(sweep, [1])
    start_as(monkeypatch, sweep, number, "7")

    assert admission.refusal(sweep, SWEEP, number, 0) != ""
    assert (admission.refusal(sweep, SWEEP, number, 1) == "") == (how == "outdated")


def test_an_intent_outlives_a_move_of_the_folder(sweep):
    """What is stored of the module path lies in the sweep or stays absolute."""
    number = publish(sweep, [1])
    moved = paths.Sweep(sweep.root.rename(sweep.root.parent / "moved"))

    assert intents.read(moved, SWEEP, number).shards == (1,)
