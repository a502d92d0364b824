"""What a foreign task function's return value means, and what its pickle may not be."""

import math

import numpy as np
import pytest
import torch

from hpc_sweep.compose.form import result_of
from hpc_sweep.trial import Outcome


@pytest.mark.parametrize("value", [0.5, np.float64(0.5), torch.tensor(0.5)])
def test_a_number_is_the_objective(value):
    """Whatever library it comes from."""
    result = result_of(value)

    assert result.metrics == {"val/objective": 0.5}
    assert result.outcome is Outcome.COMPLETED
    assert result.value == 0.5


def test_the_numbers_of_a_mapping_are_metrics():
    """A key without a split is measured on val; what is no number is kept and has no score."""
    result = result_of({"accuracy": 0.5, "test/f1": 1, "note": "fine", "flag": True, "list": [1]})

    assert result.metrics == {"val/accuracy": 0.5, "test/f1": 1.0}
    assert result.value["note"] == "fine"


@pytest.mark.parametrize("value", [None, "text", [1, 2], True, object()])
def test_anything_else_is_kept_and_has_no_score(value):
    """A trial may return what it likes."""
    result = result_of(value)

    assert result.metrics == {}
    assert result.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("value", [math.nan, math.inf, {"loss": math.nan, "accuracy": 0.5}])
def test_what_is_not_finite_diverged(value):
    """NaN is an outcome that never wins, and it never enters a record."""
    result = result_of(value)

    assert result.outcome is Outcome.DIVERGED
    assert all(map(math.isfinite, result.metrics.values()))
    assert "val/" in result.note
