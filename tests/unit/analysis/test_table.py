"""What was observed: rows, metrics at the epoch that counts, configurations."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from hpc_sweep.analysis.table import Evidence, curve_rows, label, level_means, metrics_at, trials_table
from hpc_sweep.ledger import read_ledger
from hpc_sweep.objective import Objective
from tests.builders import ACCURACY, build, diverged, failed

GRID = {"lr": [0.001, 0.1], "dropout": [0.3, 0.5]}


def ledger_of(root, grid, ending, **design):
    """Return the ledger of a sweep that was built as told."""
    return read_ledger(build(root / "s", grid, ending, **design))


def test_every_planned_trial_has_one_row_in_the_contract_s_columns(tmp_path):
    """A finished, a failed, a diverged and a planned trial have a row each, parameters in the typed order."""
    endings = iter([0.5, failed(text="no\nspace"), diverged(), None])

    frame = trials_table(Evidence.of(ledger_of(tmp_path, GRID, lambda *_: next(endings))))

    head, tail = ["number", "id", "status", "shard", "attempt"], ["epochs", "seconds", "device", "error"]
    assert list(frame.columns) == [*head, "lr", "dropout", "seed", "val/accuracy", *tail]
    assert list(frame["number"]) == [1, 2, 3, 4]
    assert list(frame["status"]) == ["completed", "failed", "diverged", "planned"]
    assert list(frame["shard"]) == [1, 1, 2, 2]
    assert frame["val/accuracy"][0] == 0.5
    assert frame["val/accuracy"][1:].isna().all()
    assert frame["error"][1] == "exception: no\nspace"
    assert frame["error"][2] == "loss became non-finite at epoch 2"
    assert frame["attempt"][0] == 1
    assert frame["attempt"][3] is pd.NA


def test_no_replicate_column_without_a_replicate(tmp_path):
    """A sweep whose trials have no replicate has no column for one."""
    frame = trials_table(Evidence.of(ledger_of(tmp_path, GRID, lambda *_: 0.5, replicates=(None,))))

    assert "seed" not in frame.columns


def test_hyperparameter_named_like_a_column_keeps_its_own(tmp_path):
    """A swept `epochs` does not take the place of the epochs that a trial ran."""
    frame = trials_table(Evidence.of(ledger_of(tmp_path, {"epochs": [3, 5]}, lambda *_: [0.1, 0.2])))

    assert list(frame["params.epochs"]) == [3, 5]
    assert list(frame["epochs"]) == [2, 2]
    assert frame.columns.is_unique


def test_cells_keep_their_types(tmp_path):
    """Integers stay integers beside missing values, and a level that is null is not a missing one."""
    levels = [1, None, True, "1", [1, 2]]
    frame = trials_table(Evidence.of(ledger_of(tmp_path, {"x": levels}, lambda p, _: None if p["x"] == "1" else 0.5)))

    assert list(map(repr, frame["x"])) == list(map(repr, levels))
    assert all(type(count) is int for count in frame["epochs"] if count is not pd.NA)


def test_sweep_where_nothing_finished_has_its_rows(tmp_path):
    """Without any result the table has all rows, and the curves have none."""
    ledger = ledger_of(tmp_path, GRID, lambda *_: None)

    assert len(trials_table(Evidence.of(ledger))) == 4
    columns, rows = curve_rows(Evidence.of(ledger))
    assert columns == ["number", "id", "epoch"]
    assert list(rows) == []


def test_curves_have_one_row_for_each_trial_and_epoch(tmp_path):
    """Epochs count from 1; a metric with a shorter curve is missing, not repeated."""
    curves = {"val/accuracy": [0.1, 0.2, 0.3], "val/loss": [1.0]}
    ledger = ledger_of(tmp_path, {"lr": [1, 2]}, lambda *_: {"curves": curves, "metrics": {"val/accuracy": 0.3}})

    columns, rows = curve_rows(Evidence.of(ledger))
    frame = pd.DataFrame(rows, columns=columns)

    assert list(frame["number"]) == [1, 1, 1, 2, 2, 2]
    assert list(frame["epoch"]) == [1, 2, 3, 1, 2, 3]
    assert list(frame["val/accuracy"]) == [0.1, 0.2, 0.3] * 2
    assert list(frame["val/loss"].isna()) == [False, True, True] * 2


RESULT = {
    "metrics": {"val/accuracy": 0.6, "val/loss": 0.9, "val/f1": 0.55},
    "curves": {"val/accuracy": [0.5, 0.7, 0.6], "val/loss": [1.0, 0.8, 0.9]},
}


@pytest.mark.parametrize(
    ("at", "mode", "expected"),
    [
        ("last", "max", {"val/accuracy": 0.6, "val/loss": 0.9, "val/f1": 0.55}),
        ("best", "max", {"val/accuracy": 0.7, "val/loss": 0.8, "val/f1": 0.55}),
        ("best", "min", {"val/accuracy": 0.5, "val/loss": 1.0, "val/f1": 0.55}),
        ("best", None, {"val/accuracy": 0.6, "val/loss": 0.9, "val/f1": 0.55}),
    ],
)
def test_metrics_are_read_at_the_objective_s_epoch(at, mode, expected):
    """All metrics come from the one epoch that counts; a metric without a curve has its only value."""
    assert metrics_at(RESULT, replace(ACCURACY, at=at, mode=mode)) == expected


def test_metric_without_curves_is_read_at_its_only_value():
    """A foreign app has metrics and no curves; its best epoch is its only one."""
    foreign = Objective(metric="val/objective", mode="min", at="best")

    assert metrics_at({"metrics": {"val/objective": 3}, "curves": {}}, foreign) == {"val/objective": 3.0}


def test_configuration_is_the_mean_of_its_replicates(tmp_path):
    """Replicates that failed or diverged do not count, and neither does their order."""
    values = {1: 0.1, 2: 0.2, 3: 0.6, 4: failed(), 5: diverged()}
    evidence = Evidence.of(ledger_of(tmp_path, {"lr": [1]}, lambda _, seed: values[seed], replicates=(1, 2, 3, 4, 5)))

    (one,) = evidence.configurations

    assert (one.n, one.trials) == (3, [1, 2, 3])
    assert one.mean == pytest.approx(0.3)
    assert one.sd == pytest.approx(math.sqrt(0.07))


def test_levels_that_python_calls_equal_are_different_configurations(tmp_path):
    """1, 1.0, true and "1" are four levels."""
    evidence = Evidence.of(ledger_of(tmp_path, {"x": [1, 1.0, True, "1"]}, lambda *_: 0.5))

    assert len(evidence.configurations) == 4


def test_level_means_count_each_configuration_once(tmp_path):
    """A level's mean is the mean of its configurations, whatever its replicates; unscored levels are absent."""
    scores = {(1, "a", 0): 0.2, (1, "a", 1): 0.4, (1, "b", 0): 0.9, (2, "a", 0): 0.5}
    ledger = ledger_of(
        tmp_path, {"x": [1, 2, 3], "y": ["a", "b"]}, lambda p, r: scores.get((p["x"], p["y"], r)), replicates=(0, 1)
    )

    found = level_means(Evidence.of(ledger), "x")

    assert [(one.level, one.n) for one in found] == [(1, 2), (2, 1)]
    assert [one.mean for one in found] == pytest.approx([0.6, 0.5])
    assert (found[0].low, found[0].high) == pytest.approx((0.3, 0.9))


@pytest.mark.parametrize(
    ("extras", "size"),
    [
        ({"n": {"val": 90, "train": 350}}, 90),
        ({"n": {"train": 350}}, None),
        ({"n": 90}, None),
        ({}, None),
    ],
)
def test_size_of_the_evaluation_set_comes_from_its_split(tmp_path, extras, size):
    """Only a count of the objective's own split says how large its evaluation set is."""
    ledger = ledger_of(tmp_path, {"x": [1]}, lambda *_: {"metrics": {"val/accuracy": 0.5}, "extras": extras})

    assert Evidence.of(ledger).evaluation.size == size


def test_accuracy_in_percent_is_no_share(tmp_path):
    """A metric above one has no binomial noise, whatever it is called."""
    ending = {"metrics": {"val/accuracy": 82.84}, "extras": {"n": {"val": 1346}}}

    assert not Evidence.of(ledger_of(tmp_path, {"x": [1]}, lambda *_: ending)).evaluation.proportion


def test_label_of_a_configuration():
    """A configuration reads like its overrides; without any it has a name, too."""
    assert label({"a": 1e-05, "b": "x", "c": None, "d": [1]}) == "a=1e-05, b=x, c=null, d=[1]"
    assert label({}) == "the only configuration"
