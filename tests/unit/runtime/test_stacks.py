"""What follows from the death of a worker, decided without any process."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_sweep.ledger import ShardState
from hpc_sweep.runtime.failures import RETRIES
from hpc_sweep.runtime.history import Past, interrupted, recall
from hpc_sweep.runtime.stacks import LIVES, Deaths, Life, answerable
from hpc_sweep.training.choice import Choice, newest

EPOCHS = 3


def life(*messages):
    """Return what a worker was in the middle of after these messages."""
    told = Life()
    for message in messages:
        told.take(message)
    return told


def start(trial):
    """Return the message of a trial that begins."""
    return {"event": "start", "trial": trial}


def stack(*trials):
    """Return the message of trials that train together from now on."""
    return {"event": "stack", "trials": list(trials)}


def done(trial):
    """Return the message of a trial that ended."""
    return {"event": "done", "trial": trial}


@pytest.mark.parametrize(
    ("messages", "died"),
    [
        ((), ("a",)),
        ((start("a"),), ("a",)),
        ((start("a"), done("a")), ()),
        ((start("a"), done("a"), start("b")), ("b",)),
        ((stack("a", "b", "c"),), ("a", "b", "c")),
        ((stack("a", "b", "c"), start("a"), start("b"), stack("a", "b")), ("a", "b")),
        ((stack("a", "b"), done("a")), ("b",)),
        ((start("a"), {"event": "stopped", "trial": "a"}, done("x")), ()),
    ],
    ids=[
        "nothing begun",
        "alone",
        "between two trials",
        "in the second",
        "while engines were compared",
        "in a stack",
        "in what was left of it",
        "after it was stopped",
    ],
)
def test_who_has_to_answer_for_a_death(messages, died):
    """The trial that was alone with the worker, a stack as a whole, or nobody."""
    assert answerable(life(*messages), ["a", "b", "c"]) == died


def test_a_stack_is_halved_after_its_second_death_and_not_again():
    """Each half keeps the engine, and the two together are all that died; who was not there keeps the first choice."""
    deaths, choice = Deaths(), Choice("grouped", 4, tuple("abcdef"), 2.0, "the fastest")
    deaths.count("bcde", got_on=False)
    assert deaths.smaller([choice.record()], "abcdef") == []

    deaths.count("bcde", got_on=False)
    first, second = deaths.smaller([choice.record()], "abcdef")

    assert [(half.engine, half.size, half.members) for half in (first, second)] == [
        ("grouped", 2, ("b", "c")),
        ("grouped", 2, ("d", "e")),
    ]
    assert "4 at once ended their worker twice" in first.why
    records = [choice.record(), first.record(), second.record()]
    assert deaths.smaller(records, "abcdef") == []
    assert newest(records)["a"] == choice


def test_one_that_is_left_over_trains_alone():
    """Half of two is one, and one trial is trained by the reference."""
    deaths = Deaths()
    for _ in range(LIVES):
        deaths.count("ab", got_on=False)

    halves = deaths.smaller([Choice("vmap", 2, ("a", "b")).record()], "ab")

    assert [(half.engine, half.size, half.ratio) for half in halves] == [("sequential", 1, None)] * 2


def test_a_stack_that_nothing_makes_smaller_is_stuck():
    """It dies once more although its trials were to train apart: then one of them has to answer, or it never ends."""
    deaths, records = Deaths(), []
    for _ in range(LIVES):
        deaths.count("abc", got_on=False)
    records += [choice.record() for choice in deaths.smaller(records, "abc")]
    assert not deaths.stuck("abc")

    deaths.count("cab", got_on=False)

    assert deaths.smaller(records, "abc") == []
    assert deaths.stuck("abc")
    deaths.count("abc", got_on=True)
    assert not deaths.stuck("abc")


def test_progress_forgives_a_stack():
    """Deaths count only one after another."""
    deaths = Deaths()
    for got_on in (False, True, False):
        deaths.count("ab", got_on=got_on)

    assert deaths.smaller([Choice("vmap", 2, ("a", "b")).record()], "ab") == []


def test_trials_whose_comparison_ends_the_worker_train_one_by_one():
    """Where no choice was ever made, the reference needs no comparison."""
    deaths = Deaths()
    for _ in range(LIVES):
        deaths.count("abc", got_on=False)

    (choice,) = deaths.smaller([], "abc")

    assert (choice.engine, choice.size, choice.members) == ("sequential", 1, ("a", "b", "c"))


def test_an_attempt_that_died_in_a_stack_charges_nobody():
    """It counts as a death of the stack, beside those that its supervisor survived and noted."""
    died = {"event": "died", "trials": ["a", "b"], "got_on": False}
    past = Past(progress=(stack("a", "b"), died, stack("a", "b"), start("a")))
    assert set(interrupted(past)) == {"a", "b"}

    history = recall(ShardState(), [past])

    assert dict(history.tries) == {}
    halves = history.deaths.smaller([Choice("grouped", 2, ("a", "b")).record()], "ab")
    assert [half.members for half in halves] == [("a",), ("b",)]
    assert recall(ShardState(), [past, Past(again="x")]).deaths == Deaths()


def test_what_an_attempt_saved_forgives_its_stacks():
    """A checkpoint of a later epoch than before is progress, whoever heard of it."""
    died = Past(progress=(stack("a", "b"),), reached={"a": 1, "b": 1})

    history = recall(ShardState(), [died, Past(progress=(stack("a", "b"),), reached={"a": 2, "b": 2})])

    assert history.deaths == Deaths()


class World:
    """A shard whose workers die where they are told to; what follows is decided by the real parts."""

    def __init__(self, trials, size, deadly, accidents, saves):
        self.order, self.size = [f"t{n}" for n in range(trials)], size
        self.deadly = {f"t{n}" for n in deadly if n < trials}
        self.accidents, self.saves = list(accidents), saves
        self.records, self.deaths, self.tries = [], Deaths(), Counter()
        self.reached, self.ends, self.workers = Counter(), Counter(), 0

    def attempt(self):
        """Let workers train until nothing is left; the bound on their number is generous."""
        left = list(self.order)
        while left:
            self.workers += 1
            assert self.workers < 1000, "the shard never ends"
            self.records += [choice.record() for choice in self.deaths.smaller(self.records, self.order)]
            left = self.after_a_worker(left)

    def after_a_worker(self, left):
        """Return what is left when a worker is done or dead."""
        told, left = Life(), list(left)
        dead = self.work(told, left)
        if not dead:
            return left
        if not self.saves:
            self.reached.clear()
        match answerable(told, left):
            case (trial,):
                left.remove(trial)
                self.tries[trial] += 1
                if self.tries[trial] > RETRIES:
                    self.ends[trial] += 1
                    return left
                return [*left, trial]
            case (_, _, *_) as died:
                self.deaths.count(died, got_on=told.got_on)
        return left

    def work(self, told, left):
        """Train as the trainer does: by the choices that are there, else by one that is made; tell whether it died."""
        known = newest(self.records)
        free = [trial for trial in left if trial not in known]
        if free:
            told.take(stack(*free))
            if self.accident():
                return True
            self.records.append(Choice("grouped" if self.size > 1 else "sequential", self.size, tuple(free)).record())
            known = newest(self.records)
        groups = {}
        for trial in list(left):
            groups.setdefault(id(known[trial]), (known[trial], []))[1].append(trial)
        return any(self.train(choice, group, told, left) for choice, group in groups.values())

    def train(self, choice, waiting, told, left):
        """Train the trials of one choice; tell whether the worker died."""
        alive = []
        while alive or waiting:
            while waiting and len(alive) < choice.size:
                alive.append(waiting.pop(0))
                told.take(start(alive[-1]))
            told.take(stack(*alive))
            if self.deadly & set(alive) or self.accident():
                return True
            for trial in list(alive):
                self.reached[trial] += 1
                if self.saves:
                    told.take({"event": "saved", "trial": trial})
                if self.reached[trial] >= EPOCHS:
                    alive.remove(trial)
                    left.remove(trial)
                    self.ends[trial] += 1
                    told.take(done(trial))
        return False

    def accident(self):
        """Tell whether the worker is killed now, by the next of the accidents."""
        return bool(self.accidents) and self.accidents.pop(0)


@given(
    trials=st.integers(1, 9),
    size=st.integers(1, 9),
    deadly=st.sets(st.integers(0, 8), max_size=3),
    accidents=st.lists(st.booleans(), max_size=40),
    saves=st.booleans(),
)
def test_every_trial_of_a_dying_shard_ends_once(trials, size, deadly, accidents, saves):
    """Whoever kills its workers, and whenever they are killed: no trial is lost, none ends twice, all of it ends."""
    world = World(trials, size, deadly, accidents, saves)

    world.attempt()

    assert dict(world.ends) == dict.fromkeys(world.order, 1)
    assert all(tries <= RETRIES + 1 for tries in world.tries.values())
    assert all(world.tries[trial] == RETRIES + 1 for trial in world.deadly)
    if not any(accidents):
        assert set(world.tries) == world.deadly, "an innocent trial was charged"
        depth = max(1, size).bit_length() + 1
        assert world.workers <= 1 + len(world.deadly) * (LIVES * depth + RETRIES + 1) + 1
