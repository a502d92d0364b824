"""A shard under everything that can happen to it, in any order: what must hold holds after every step.

The lives below are attempts whose worker is a counting task, driven step by step; what they decide, record, publish,
keep and take over is done by the real parts. Several may live at once: the older ones are zombies.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hpc_sweep import ledger, paths, records
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, partition, read_plan
from hpc_sweep.runtime.book import Book, SupersededError
from hpc_sweep.runtime.checkpoints import adopt
from hpc_sweep.runtime.claim import claim
from hpc_sweep.runtime.failures import RETRIES, Failure, of_death
from hpc_sweep.runtime.stop import Signals
from hpc_sweep.runtime.supervisor import Shard, _Supervisor
from hpc_sweep.runtime.warmth import nothing
from hpc_sweep.trial import Trial
from tests.property.conftest import MEMORY

SWEEP, TRIALS, EPOCHS = "s", 4, 3
NO_SIGNALS = Signals()
FATAL = Failure("exception", "ValueError: no", retryable=False)


def calm(trial):
    """Return the result of a trial that nothing happened to."""
    digest = ""
    for epoch in range(1, EPOCHS + 1):
        digest = records.digest([digest, trial, epoch])
    return digest


class Life:
    """One attempt, with the worker in it."""

    def __init__(self, sweep, signals):
        self.shard = Shard(sweep, SWEEP, 1, read_plan(sweep.plan, sweep=SWEEP).shard(1))
        self.attempt = claim(sweep, 1)
        self.book = Book(sweep, SWEEP, 1, self.attempt)
        self.supervisor = _Supervisor(self.shard, None, self.attempt, self.book, signals, nothing)
        self.history = self.book.history()
        self.owed = self.supervisor._owed(self.history)
        self.current, self.state, self.over = None, (0, ""), False

    def step(self):
        """Begin a trial, train an epoch, end a trial, or end the attempt; return the trial of a trained epoch."""
        if self.current is None and not self.owed:
            self.book.close()
            self.over = True
            return None
        if self.current is None:
            self.begin(self.owed.pop(0))
            return None
        epoch, digest = self.state
        if epoch < EPOCHS:
            self.train(epoch + 1, digest)
            return self.current.id
        fields = {"outcome": "completed", "metrics": {}, "extras": {"digest": digest}, "error": None}
        self.supervisor._done(self.current, fields)
        self.current = None
        return None

    def begin(self, trial):
        """Take over what earlier attempts kept of a trial."""
        self.current = trial
        adopt(self.attempt, self.book.earlier, trial.id)
        kept = sorted(self.attempt.checkpoints(trial.id).glob("epoch-*.ckpt"))
        self.state = tuple(json.loads(kept[-1].read_text())) if kept else (0, "")
        self.book.progress({"event": "start", "trial": trial.id})

    def train(self, epoch, digest):
        """Train one epoch and keep it."""
        self.state = epoch, records.digest([digest, self.current.id, epoch])
        path = self.attempt.checkpoints(self.current.id) / f"epoch-{epoch:06d}.ckpt"
        records.replace(path, json.dumps(self.state))
        self.book.progress({"event": "saved", "trial": self.current.id, "epoch": epoch, "seconds": 0.0})

    def fail(self, failure):
        """End the trial in progress without an outcome."""
        trial, self.current = self.current, None
        if self.supervisor._failed(trial, failure, {"threads": 1}):
            self.owed.append(trial)

    def die(self):
        """End without a word."""
        self.book.release()
        note = records.read_json(self.attempt.claim)
        self.attempt.claim.write_text(json.dumps(note | {"pid_start": "0"}))


class Machine(RuleBasedStateMachine):
    """Attempts of one shard that begin, train, fail, publish, die, and live on after they were replaced."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)
        self.sweep = paths.Sweep(Path(self.folder))
        ledger.write_identity(self.sweep, ledger.Identity(SWEEP, Objective("val/s", "max"), "", {}, "", {}, ""))
        trials = [Trial(n, f"id{n}", (), {"x": n}, None, ()) for n in range(1, TRIALS + 1)]
        sizes = partition(TRIALS, shards=1, trials_per_shard=None)
        append_part(self.sweep.plan, trials, sizes, sweep=SWEEP, base={}, form="rebuilt")
        self.lives, self.claims, self.fatal = [], 0, set()
        self.epochs, self.shadow, self.first = Counter(), {}, {}
        self.known = ledger.read_ledger(self.sweep)

    def teardown(self):
        """Let the last attempts run to their end: nothing is open then, and nobody had to help (I16)."""
        try:
            self.drain()
        finally:
            for life in self.lives:
                life.book.release()
            shutil.rmtree(self.folder)

    def drain(self):
        """Kill what lives, and start attempts as Slurm does, until everything is decided."""
        while self.lives:
            self.lives.pop().die()
        for _ in range(RETRIES + 3):
            self.begin()
            while self.lives and not self.lives[0].over:
                self.act(self.lives[0], Life.step)
        state = ledger.read_ledger(self.sweep)
        assert sum(state.counts.values()) == TRIALS
        assert {row.status for row in state.rows} <= {"completed", "failed"}
        assert all(row.status == "completed" for row in state.rows if row.trial.id not in self.tried_out())

    def tried_out(self):
        """Return the trials that had a fatal failure, or as many as are allowed."""
        tried = Counter()
        for attempt in self.sweep.attempts(1):
            tried.update(line["trial"] for line in records.read_lines(attempt.results) if line["outcome"] is None)
        return self.fatal | {trial for trial, tries in tried.items() if tries > RETRIES}

    def act(self, life, act):
        """Let an attempt do something; one that was replaced may leave, and appends nothing."""
        before, owner = self.entries(), self.sweep.attempts(1)[-1].number
        try:
            trained = act(life)
        except SupersededError:
            assert life.attempt.number < owner
            life.over = True
            trained = None
        for name in self.entries().keys() - before.keys():
            (entry, *_) = records.read(self.sweep.shard(1), sweep=SWEEP, after=int(name[:6]) - 1)
            assert entry.attempt == f"0001/{owner}", "an attempt that was replaced published"
        if trained and life.attempt.number == owner:
            self.epochs[trained] += 1
        if life.over:
            self.lives.remove(life)
            life.book.release()

    def entries(self):
        """Return the bytes of every published file."""
        return {path.name: path.read_bytes() for path in self.sweep.shard(1).glob("0*.json")}

    @rule()
    @precondition(lambda self: len(self.lives) < 3)
    def begin(self):
        """Start an attempt, whether or not another one lives."""
        self.claims += 1
        self.lives.append(Life(self.sweep, NO_SIGNALS))
        history = self.lives[-1].history
        owed = {trial.id for trial in self.lives[-1].owed}
        assert not owed & history.outcomes, "what has an outcome is trained again"
        assert all(history.tries.get(trial, 0) <= RETRIES for trial in owed), "tried more often than allowed"

    @rule(which=st.integers(0, 2), steps=st.integers(1, 9))
    @precondition(lambda self: self.lives)
    def step(self, which, steps):
        """Let an attempt work."""
        life = self.lives[which % len(self.lives)]
        for _ in range(steps):
            if not life.over:
                self.act(life, Life.step)

    @rule(which=st.integers(0, 2))
    @precondition(lambda self: self.lives)
    def publish(self, which):
        """Let an attempt publish because it is time."""
        self.act(self.lives[which % len(self.lives)], lambda life: life.book.publish())

    @rule(which=st.integers(0, 2), fatal=st.booleans())
    @precondition(lambda self: self.lives)
    def fail(self, which, fatal):
        """Let the trial in progress fail."""
        life = self.lives[which % len(self.lives)]
        if life.current is not None:
            self.fatal |= {life.current.id} if fatal else set()
            self.act(life, lambda life: life.fail(FATAL if fatal else of_death(-9)))

    @rule(which=st.integers(0, 2))
    @precondition(lambda self: self.lives)
    def die(self, which):
        """Let an attempt die without a word."""
        self.lives.pop(which % len(self.lives)).die()

    @rule()
    @precondition(lambda self: self.claims)
    def litter(self):
        """Leave what dead writers leave."""
        (self.sweep.shard(1) / f".000009.json-{self.claims}").write_text("half")

    @invariant()
    def every_promise_holds(self):
        """Look at everything after each step."""
        state, lines = ledger.read_ledger(self.sweep), self.lines()
        self.check_files()
        self.check_outcomes(state)
        self.check_counts(state, lines)
        self.known = ledger.read_ledger(self.sweep, known=self.known)
        assert self.known == state, "reading on is not reading all (I4)"

    def check_files(self):
        """See that not one byte changed of what is published, and that none is lost (I2)."""
        now = self.entries()
        assert {name: now.get(name) for name in self.shadow} == self.shadow
        self.shadow = now

    def check_outcomes(self, state):
        """See that the first outcome stands, and is that of a trial that nothing happened to (I3, I6, I8)."""
        now = {row.trial.id: row.result for row in state.rows if row.result is not None}
        assert {trial: now.get(trial) for trial in self.first} == self.first
        assert all(result["extras"]["digest"] == calm(trial) for trial, result in now.items())
        assert (state.late, state.problems) == ((), ())
        self.first = now

    def check_counts(self, state, lines):
        """See that counts sum to the plan (I1), lines are there once, tries are bounded (I19), work too (I15)."""
        assert sum(state.counts.values()) == TRIALS
        assert max(Counter(map(records.canonical, lines)).values(), default=1) == 1
        notes = Counter(line["trial"] for line in lines if line["outcome"] is None)
        assert all(count <= RETRIES + 2 for count in notes.values())
        assert sum(self.epochs.values()) <= TRIALS * EPOCHS + self.claims

    def lines(self):
        """Return everything that the log says of trials."""
        entries = records.read(self.sweep.shard(1), sweep=SWEEP)
        return [line for entry in entries for line in entry.body.get("results", ())]


def test_a_shard_under_everything():
    """Hundreds of histories, the shortest that breaks a promise is shown."""
    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=30))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_shard_under_everything_for_long():
    """The same, with many more and longer histories."""
    long = settings(max_examples=1000, stateful_step_count=50, derandomize=False)
    run_state_machine_as_test(Machine, settings=long)
