"""What a sweep is judged by."""

import math

import pytest

from hpc_sweep.errors import UserError
from hpc_sweep.objective import Objective


def test_the_better_value_has_the_larger_score():
    """Direction is applied in one place."""
    assert Objective(mode="max").score(2.0) > Objective(mode="max").score(1.0)
    assert Objective(mode="min").score(1.0) > Objective(mode="min").score(2.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_wins(value):
    """NaN and infinities rank below everything."""
    assert Objective(mode="min").score(value) == -math.inf


def test_the_best_epoch_is_the_first_of_the_best():
    """Among equal epochs the earliest counts."""
    assert Objective(mode="max", at="best").epoch([0.1, 0.9, 0.9]) == 1
    assert Objective(mode="min", at="best").epoch([0.3, 0.1, 0.1]) == 1
    assert Objective(mode="max", at="last").epoch([0.9, 0.1]) == 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"metric": "accuracy"}, "val/accuracy"),
        ({"metric": "val/accuracy", "mode": "highest"}, "objective.mode=max"),
        ({"metric": "val/accuracy", "at": "first"}, "objective.at=last"),
        ({"metrics": "val/accuracy"}, "metric, mode, at, replicate, constraints, baseline"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_type(given, sentence):
    """A metric without a split, a wrong direction, epoch or field."""
    with pytest.raises(UserError, match=sentence.replace(".", r"\.")):
        Objective.parse(given)


def test_an_objective_survives_its_record():
    """What is recorded parses back to the same objective."""
    objective = Objective("val/loss", "min", "best", None)

    assert Objective.parse(objective.as_json()) == objective


def test_constraints_are_read_without_evaluating_anything():
    """A metric, a sign and a number; what is recorded reads back."""
    objective = Objective.parse({"metric": "val/recall", "mode": "max", "constraints": ["val/precision >= 0.9"]})

    assert [str(limit) for limit in objective.limits] == ["val/precision >= 0.9"]
    assert objective.limits[0].holds(0.9)
    assert not objective.limits[0].holds(0.89)
    assert not objective.limits[0].holds(math.nan)
    assert Objective.parse(objective.as_json()) == objective


@pytest.mark.parametrize("text", ["precision > 0.9", "val/a == 1", "val/a >= x", "__import__('os')", "", "val/a >= "])
def test_what_is_no_constraint_is_refused(text):
    """The sentence shows one that can be typed."""
    with pytest.raises(UserError, match="no constraint"):
        Objective.parse({"metric": "val/a", "constraints": [text]})


@pytest.mark.parametrize("given", [True, -1, 2.0, "3", 10**6])
def test_a_confirmation_that_cannot_be_meant_is_refused(given):
    """Fresh replicates are counted by a whole number that a cluster could run."""
    with pytest.raises(UserError, match="no number of fresh replicates"):
        Objective.parse({"metric": "val/accuracy", "mode": "max", "confirm": given})


@pytest.mark.parametrize(("lacking", "named"), [({"mode": None}, "direction"), ({"replicate": None}, "replicate")])
def test_a_confirmation_needs_a_direction_and_a_replicate(lacking, named):
    """Without either no short list could be named, or no run of it be fresh."""
    with pytest.raises(UserError, match=f"has no {named}"):
        Objective.parse({"metric": "val/accuracy", "mode": "max", "confirm": 3, **lacking})
