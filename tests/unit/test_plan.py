"""Plans: frozen parts, their shards, and what is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_sweep.errors import UserError
from hpc_sweep.plan import append_part, apply, differences, partition, read_plan
from hpc_sweep.trial import Trial

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
CONFIGURATION = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def trial(number, changes=()):
    return Trial(number, f"id{number}", (f"x={number}",), {"x": number}, None, tuple(changes))


@given(count=st.integers(1, 500), size=st.integers(1, 50))
def test_sharding_is_a_balanced_partition(count, size):
    """No trial is lost, no shard is empty, and sizes differ by at most one."""
    sizes = partition(count, shards=None, trials_per_shard=size)

    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    assert 1 <= min(sizes) <= max(sizes) <= size


@given(count=st.integers(1, 500), shards=st.integers(1, 50))
def test_as_many_shards_as_asked_unless_there_are_fewer_trials(count, shards):
    """A shard without a trial is never planned."""
    assert len(partition(count, shards=shards, trials_per_shard=None)) == min(shards, count)


@pytest.mark.parametrize("given_sizes", [{"shards": 0, "trials_per_shard": None}, {"shards": 2, "trials_per_shard": 3}])
def test_sizes_that_cannot_be_met_are_a_sentence(given_sizes):
    """A wrong size is the user's mistake, and the error says what to type."""
    with pytest.raises(UserError, match=r"hydra\.launcher\."):
        partition(10, **given_sizes)


@given(base=CONFIGURATION, other=CONFIGURATION)
def test_changes_lead_from_the_base_to_the_other(base, other):
    """What was planned is read back exactly, types included."""
    found = apply(base, differences(base, other))

    assert found == other
    assert repr(sorted(found.items())) == repr(sorted(other.items()))


def test_a_part_comes_back_as_it_was_frozen(tmp_path):
    """Trials, shards, base and form survive the log."""
    base = {"x": 1, "model": {"dropout": 0.5}}
    others = [{"x": n, "model": {"dropout": 0.5}} for n in (1, 2, 3)]
    trials = [trial(n, differences(base, other)) for n, other in enumerate(others, start=1)]

    part = append_part(tmp_path, trials, [2, 1], sweep="s", base=base, form="rebuilt")
    plan = read_plan(tmp_path, sweep="s")

    assert plan.parts == (part,)
    assert [part.configuration(one) for one in plan.trials] == others
    assert [[one.number for one in plan.shard(n)] for n in plan.shards] == [[1, 2], [3]]


def test_a_second_part_goes_on_with_its_own_shards(tmp_path):
    """The plan is the union of its parts, in order."""
    append_part(tmp_path, [trial(1)], [1], sweep="s", base={"x": 1}, form="rebuilt")
    append_part(tmp_path, [trial(2)], [1], sweep="s", base={"x": 2}, form="rebuilt", first_shard=2)

    plan = read_plan(tmp_path, sweep="s")

    assert [one.number for one in plan.trials] == [1, 2]
    assert [plan.part_of(one).number for one in plan.trials] == [1, 2]
    assert plan.shards == [1, 2]
