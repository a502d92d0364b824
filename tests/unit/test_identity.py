"""What a trial is."""

import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from hpc_sweep.identity import plain, raw, resolved, restored, trial_id, without
from hpc_sweep.records import canonical


@pytest.fixture(autouse=True)
def now_resolver():
    """Register Hydra's `now`, which changes with every call."""
    OmegaConf.register_new_resolver("now", lambda _: datetime.now(UTC).isoformat(), replace=True)


def test_the_id_does_not_depend_on_the_order_of_keys():
    """Equal configurations are one trial."""
    assert trial_id({"a": 1, "b": {"c": 2, "d": 3}}) == trial_id({"b": {"d": 3, "c": 2}, "a": 1})


@given(
    st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), min_size=1)
)
def test_the_id_tells_different_configurations_apart(configuration):
    """Changing any value, or its type, makes another trial."""
    key = next(iter(configuration))

    changed = configuration | {key: [configuration[key]]}

    assert trial_id(configuration) != trial_id(changed)
    assert len(trial_id(configuration)) == 64


def test_what_cannot_change_the_result_is_left_out():
    """Excluded keys are dotted paths; one that is not there is no error."""
    one = {"data": {"root": "/here", "size": 32}, "name": "a"}
    other = {"data": {"root": "/there", "size": 32}, "name": "b"}

    assert trial_id(one, ["data.root", "name", "not.there"]) == trial_id(other, ["data.root", "name"])
    assert without(one, ["data"]) == {"name": "a"}


def test_interpolations_are_resolved():
    """A value that another key gives counts by its value."""
    cfg = OmegaConf.create({"size": 32, "data": {"size": "${size}"}, "text": "${size}px"})

    assert resolved(cfg) == {"size": 32, "data": {"size": 32}, "text": "32px"}
    assert raw(cfg)["data"] == {"size": "${size}"}


def test_what_only_a_running_job_knows_stays_text():
    """`hydra:`, `now:` and `oc.env:` never enter the identity, not even through another key."""
    cfg = OmegaConf.create(
        {"dir": "${hydra:runtime.output_dir}", "at": "${now:%H}", "home": "${oc.env:HOME}", "copy": "${home}/x"}
    )

    found = resolved(cfg)

    assert found["dir"] == "${hydra:runtime.output_dir}"
    assert found["at"] == "${now:%H}"
    assert found["copy"] == "${oc.env:HOME}/x"
    assert os.environ["HOME"] not in found["copy"]


def test_what_cannot_be_resolved_stays_text():
    """A task may never ask for a key that is missing, so its identity does not either."""
    cfg = OmegaConf.create({"a": "${not.there}", "b": {"c": "${d}"}, "d": 4, "e": ["${d}", "${nowhere}"], "f": "???"})

    assert resolved(cfg) == {"a": "${not.there}", "b": {"c": 4}, "d": 4, "e": [4, "${nowhere}"], "f": "???"}


def test_values_without_a_json_form_keep_their_type():
    """Infinity, bytes and keys that are numbers do not collide with strings."""
    assert plain(float("inf")) == {"float": "inf"}
    assert plain(b"\x01") == {"bytes": "01"}
    assert plain({1: "a"}) != plain({"1": "a"})


NUMBERS = st.floats() | st.integers() | st.sampled_from([float("inf"), float("-inf"), float("nan")])


@given(
    st.recursive(
        NUMBERS | st.text() | st.none() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_numbers_that_are_not_finite_come_back_from_json(value):
    """Alone, in lists and in mappings: NaN and both infinities are numbers again, and all else is what it was."""
    there = plain(value)

    assert canonical(there)
    assert repr(restored(there)) == repr(value)
