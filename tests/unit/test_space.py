"""What varies in a sweep."""

from hpc_sweep.space import Space, configuration
from hpc_sweep.trial import Trial


def trials(*params):
    return [Trial(n, str(n), (), one, None, ()) for n, one in enumerate(params, start=1)]


def test_levels_are_in_order():
    """Numbers ascend, other levels stand in the order in which they appear."""
    space = Space.of(trials({"lr": 0.01, "model": "b"}, {"lr": 0.001, "model": "a"}, {"lr": 0.01, "model": "b"}))

    assert space.levels == {"lr": (0.001, 0.01), "model": ("b", "a")}


def test_the_edge_is_the_smallest_or_the_largest_number_that_was_tried():
    """Only a number with neighbours has an edge."""
    space = Space.of(trials({"lr": 1, "n": 5, "m": "a"}, {"lr": 2, "n": 5, "m": "b"}, {"lr": 3, "n": 5, "m": "a"}))

    assert space.edges({"lr": 1, "n": 5, "m": "a"}) == ["lr"]
    assert space.edges({"lr": 2, "n": 5, "m": "a"}) == []


def test_a_configuration_has_one_key():
    """Whatever the order of its hyperparameters."""
    assert configuration({"a": 1, "b": 2.0}) == configuration({"b": 2.0, "a": 1})
