"""Submitting under everything that Slurm and the submitters may do, in any order: no shard ever runs twice.

Slurm is a model here, because the real one cannot be told to accept a job and say no, or to show it late. Submitters,
their log, the stewards' rule and what a job asks before it works are the real parts. Real Slurm under the same faults
is in tests/integration/test_submission_kills.py and test_submission_ambiguous.py.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hpc_sweep import records
from hpc_sweep.cluster import admission, limits, slurm, submission
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster.cancel import cancel
from hpc_sweep.cluster.intent import Intent
from hpc_sweep.cluster.submission import Submitter
from hpc_sweep.errors import SchedulerError, UserError
from tests.builders import SWEEP, Design, plan_sweep
from tests.property.conftest import MEMORY

SHARDS = (1, 2, 3)
ANSWERS = ("yes", "no", "full", "no answer, job there", "no answer, no job", "no answer, job late")


class KilledError(BaseException):
    """The submitter's process ends here; nothing of it may be caught."""


@dataclass
class Job:
    """A task of the model's queue: which index of which intent, and where it stands."""

    number: int
    token: str
    index: int
    state: str = "PENDING"


class Slurm:
    """The model: a queue, jobs that are not shown yet, and what the next calls meet."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.late: list[Job] = []
        self.over: list[Job] = []
        self.answers: list[str] = []
        self.silent = 0
        self.number = 0

    def queue(self):
        """Return what is shown; SchedulerError while Slurm is silent."""
        if self.silent:
            self.silent -= 1
            raise SchedulerError("Slurm is out of reach: the model says so")
        return [slurm.Task("me", str(job.number), job.index, job.token, job.state, "None") for job in self.jobs]

    def sbatch(self, script, *options):
        """Accept a job or not, and say so or not."""
        del options
        answer = self.answers.pop(0) if self.answers else "yes"
        if answer == "no":
            raise UserError("Slurm refused the job: the model says so")
        if answer == "full":
            raise slurm.FullError("Slurm takes no more jobs now: the model says so")
        if answer != "no answer, no job":
            self.number += 1
            made = [Job(self.number, script.stem, index) for index in range(tasks(script))]
            (self.late if answer == "no answer, job late" else self.jobs).extend(made)
        if answer != "yes":
            raise slurm.UnclearError("Slurm gave no clear answer: the model says so")
        return str(self.number)

    def scancel(self, jobs):
        """Take jobs out of the queue; those that run end."""
        self.jobs = [job for job in self.jobs if str(job.number) not in set(jobs)]


def tasks(script):
    """Return how many tasks a script asks for."""
    return int(script.read_text().partition("tasks=")[2] or 1)


class Machine(RuleBasedStateMachine):
    """Submitters that are killed and overtaken, jobs that come late and come back, and people who cancel."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)
        self.sweep = plan_sweep(Path(self.folder) / "s", Design({"x": SHARDS}, shards=len(SHARDS)))
        self.slurm, self.done, self.runs = Slurm(), Counter(), []
        self.steps_left, self.nested = None, False
        self.patch = pytest.MonkeyPatch()
        for name in ("queue", "sbatch", "scancel"):
            self.patch.setattr(slurm, name, self.stepwise(getattr(self.slurm, name)))
        self.patch.setattr(slurm, "accounted", lambda *_: set())
        self.patch.setattr(limits, "read", lambda *_: limits.Limits(array=2, silence=0.0))
        self.patch.setattr(submission, "time", SimpleNamespace(sleep=lambda _: None, monotonic=clock()))
        self.patch.setattr(submission.script, "array", lambda *given: f"tasks={given[-1]}")
        self.patch.setattr(submission.script, "steward", lambda *_: "tasks=1")
        for name in ("append", "publish"):
            self.patch.setattr(records, name, self.stepwise(getattr(records, name)))

    def stepwise(self, call):
        """Make a call a step at which, before or after it, a submitter may end, or another may come between."""

        def step(*given, **named):
            self.count()
            answer = call(*given, **named)
            self.count()
            return answer

        return step

    def count(self):
        """Do what was planned for this step, if its time has come."""
        if self.steps_left is None:
            return
        self.steps_left -= 1
        if self.steps_left < 0:
            self.steps_left = None
            if not self.nested:
                raise KilledError
            self.submitted()

    def submitted(self, own_token=""):
        """Submit what is owed, as `resume` and the steward do; what stops it is in the log or in nobody's way."""
        template = Intent("", "slurm", (), 1, "/", ())
        try:
            Submitter(self.sweep, SWEEP, template, own_token).submit(lambda _: [s for s in SHARDS if not self.done[s]])
        except (SchedulerError, UserError, slurm.FullError, KilledError):
            return False
        finally:
            self.steps_left = None
        return True

    def teardown(self):
        """Without further faults a few calls end the sweep: each shard done, once, and nothing left to submit."""
        try:
            self.drain()
        finally:
            self.patch.undo()
            shutil.rmtree(self.folder)

    def drain(self):
        """Submit and run until all is done."""
        self.slurm.answers, self.slurm.silent = [], 0
        for _ in range(4):
            assert self.submitted()
            self.arrive()
            self.start_all()
            self.every_shard_runs_once()
            for job in list(self.slurm.jobs):
                self.ended(job, well=True)
        assert self.done == Counter(SHARDS)
        number = self.slurm.number
        assert self.submitted()
        assert self.slurm.number == number

    @rule(answers=st.lists(st.sampled_from(ANSWERS), max_size=3), silent=st.sampled_from((0, 0, 0, 1, 2, 5)))
    def submit(self, answers, silent):
        """Submit while Slurm answers as it likes."""
        self.slurm.answers, self.slurm.silent = answers, silent
        self.submitted()

    @rule(answers=st.lists(st.sampled_from(ANSWERS), max_size=2), steps=st.integers(0, 30))
    def submit_and_die(self, answers, steps):
        """Kill a submitter after so many steps."""
        self.slurm.answers, self.steps_left, self.nested = answers, steps, False
        self.submitted()

    @rule(answers=st.lists(st.sampled_from(ANSWERS), max_size=2), steps=st.integers(0, 30))
    def submit_and_be_overtaken(self, answers, steps):
        """Let another submitter do all its work between two steps of one that lives."""
        self.slurm.answers, self.steps_left, self.nested = answers, steps, True
        self.submitted()

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.slurm.jobs)
    def start(self, which):
        """Let a job begin."""
        self.started(self.slurm.jobs[which % len(self.slurm.jobs)])

    @rule()
    @precondition(lambda self: self.slurm.jobs)
    def start_all(self):
        """Let every job begin that waits."""
        for job in list(self.slurm.jobs):
            self.started(job)

    @rule(which=st.integers(0, 9), well=st.booleans())
    @precondition(lambda self: self.slurm.jobs)
    def end(self, which, well):
        """Let a job end, with its work done or not."""
        self.ended(self.slurm.jobs[which % len(self.slurm.jobs)], well)

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.slurm.jobs)
    def requeue(self, which):
        """Let Slurm take a job off its node and queue it again."""
        job = self.slurm.jobs[which % len(self.slurm.jobs)]
        self.leave(job)
        job.state = "PENDING"

    @rule(which=st.integers(0, 9))
    @precondition(lambda self: self.slurm.over)
    def revive(self, which):
        """Let an administrator requeue a job that is over."""
        job = self.slurm.over.pop(which % len(self.slurm.over))
        job.state = "PENDING"
        self.slurm.jobs.append(job)

    @rule()
    @precondition(lambda self: self.slurm.late)
    def arrive(self):
        """Let jobs that nobody saw appear."""
        self.slurm.jobs, self.slurm.late = [*self.slurm.late, *self.slurm.jobs], []

    @rule()
    @precondition(lambda self: self.slurm.jobs)
    def forget(self):
        """Let a controller come back without the jobs that waited."""
        self.slurm.jobs = [job for job in self.slurm.jobs if job.state == "RUNNING"]

    @rule()
    def cancel(self):
        """Cancel the sweep."""
        self.slurm.silent = 0
        before = {id(job) for job in self.slurm.jobs}
        cancel(self.sweep)
        kept = {id(job) for job in self.slurm.jobs}
        self.runs = [(job, shard) for job, shard in self.runs if id(job) in kept or id(job) not in before]

    def started(self, job):
        """Begin a task as its first words do: it asks whether it may work; one that may not ends at once."""
        if job.state == "RUNNING":
            return
        (one,) = [one for one in intents.submissions(self.sweep, SWEEP) if one.intent.token == job.token]
        os.environ.update(SLURM_JOB_NAME=job.token, SLURM_ARRAY_JOB_ID=str(job.number))
        try:
            refused = admission.refusal(self.sweep, SWEEP, one.number, job.index)
        finally:
            del os.environ["SLURM_JOB_NAME"], os.environ["SLURM_ARRAY_JOB_ID"]
        if refused:
            self.slurm.jobs.remove(job)
            return
        assert one.valid, "a job runs that is not wanted any more"
        job.state = "RUNNING"
        if one.intent.role == intents.ARRAY:
            self.runs.append((job, one.intent.shards[job.index]))
        else:
            self.submitted(own_token=job.token)

    def ended(self, job, well):
        """End a task; only one that ran can have done its work."""
        for run, shard in self.runs:
            if run is job and well:
                self.done[shard] = 1
        self.leave(job)
        if job in self.slurm.jobs:
            self.slurm.jobs.remove(job)
            self.slurm.over.append(job)

    def leave(self, job):
        """Take note that a job runs no more."""
        self.runs = [(run, shard) for run, shard in self.runs if run is not job]

    @invariant()
    def every_shard_runs_once(self):
        """See that no shard has two jobs at work (I9)."""
        assert max(Counter(shard for _, shard in self.runs).values(), default=1) == 1, self.runs

    @invariant()
    def an_answer_stands(self):
        """See that no intent has two jobs that are wanted."""
        named = Counter(job for one in intents.submissions(self.sweep, SWEEP) if one.valid for job in one.jobs)
        assert max(named.values(), default=1) == 1


def clock():
    """Return a clock that goes on by a second with every look."""
    ticks = iter(range(10**9))
    return lambda: next(ticks)


def test_submitters_under_everything():
    """Hundreds of histories, the shortest that breaks a promise is shown."""
    run_state_machine_as_test(Machine, settings=settings(max_examples=100, stateful_step_count=20))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_submitters_under_everything_for_long():
    """The same, with many more and longer histories."""
    long = settings(max_examples=1500, stateful_step_count=40, derandomize=False)
    run_state_machine_as_test(Machine, settings=long)
