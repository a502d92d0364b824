"""Alarms: raised with their numbers when they must be, and silent otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpc_sweep import records
from hpc_sweep.analysis.decision import decide
from hpc_sweep.analysis.naming import runs
from hpc_sweep.ledger import read_ledger
from tests.builders import ACCURACY, SWEEP, build, diverged, failed, publish


def raised(sweep):
    """Return the text of every alarm by its kind."""
    return {alarm.kind: alarm.text for alarm in decide(read_ledger(sweep)).alarms}


def test_quiet_sweep_raises_nothing(tmp_path):
    """Replicates, a full grid, an inner winner, flat curves, many examples: nothing to say."""

    def ending(params, seed):
        score = 0.9 - abs(params["x"] - 2) / 10 - params["x"] / 50 + seed * params["x"] / 1000
        return {
            "metrics": {"val/accuracy": score},
            "curves": {"val/accuracy": [0.1] + [score] * 9},
            "extras": {"n": {"val": 5000}},
        }

    assert raised(build(tmp_path / "s", {"x": [1, 2, 3]}, ending, replicates=(0, 1, 2))) == {}


def test_one_replicate(tmp_path):
    """Configurations with one replicate are counted, and the replicate's key is named."""
    found = raised(build(tmp_path / "s", {"x": [1, 2, 3]}, lambda *_: 0.5))

    assert found["one_replicate"].startswith("3 of 3 configurations with a score have one seed only")
    assert "ragged_replicates" not in found


def test_incomplete_grid_counts_and_names_what_is_missing(tmp_path):
    """Completed of planned is told, and the runs behind each status."""
    endings = {1: 0.5, 2: failed(), 3: diverged(), 4: None, 5: None}

    text = raised(build(tmp_path / "s", {"x": list(endings)}, lambda p, _: endings[p["x"]]))["incomplete_grid"]

    assert "1 of 5 planned trials completed" in text
    assert "1 diverged (Run 3)" in text
    assert "1 failed (Run 2)" in text
    assert "2 planned (Runs 4, 5)" in text


def test_edge_of_grid_says_which_edge_and_what_was_tried(tmp_path):
    """The winner's value at the end of a numeric range is named with all levels; an inner or named value is not."""
    scores = {(0.001, "a"): 0.9}
    grid = {"lr": [0.001, 0.0005, 0.0001], "opt": ["a", "b"], "inner": [2, 1, 3]}

    def score(params, _):
        return scores.get((params["lr"], params["opt"]), 0.5) + (0.05 if params["inner"] == 2 else 0)

    assert raised(build(tmp_path / "s", grid, score))["edge_of_grid"] == (
        "lr=0.001 is the largest of the 3 values that were tried (0.0001, 0.0005, 0.001)."
    )


@pytest.mark.parametrize(
    ("levels", "best", "mend"),
    [
        ([0.0001, 0.001], 0.001, "the same command with x=0.01 and "),
        ([16, 32], 32, "the same command with x=64 and "),
        ([0, 128, 512], 0, "a wider range"),
        ([0.5, 0.7, 0.9], 0.9, "a wider range"),
        ([1, 2], 1, "a wider range"),
    ],
)
def test_a_level_beyond_the_edge_is_one_that_can_be(tmp_path, levels, best, mend):
    """What is proposed keeps whole numbers whole, and leaves neither its side of zero nor the shares of one."""
    sweep = build(tmp_path / "s", {"x": levels}, lambda p, _: 0.9 if p["x"] == best else 0.5)
    (found,) = [alarm for alarm in decide(read_ledger(sweep)).alarms if alarm.kind == "edge_of_grid"]

    assert found.remedy.startswith(mend)


def test_edge_is_that_of_the_levels_that_ran(tmp_path):
    """A level whose trials all failed was not tried: the winner beside it is at the edge."""
    found = raised(build(tmp_path / "s", {"x": [1, 2, 3]}, lambda p, _: failed() if p["x"] == 3 else p["x"] / 10))

    assert found["edge_of_grid"] == "x=2 is the largest of the 2 values that were tried (1, 2)."


@pytest.mark.parametrize(
    ("mode", "sign", "raises"), [("max", 1, True), ("max", -1, False), ("min", -1, True), ("min", 1, False)]
)
def test_curve_rising_means_still_improving(tmp_path, mode, sign, raises):
    """A curve that goes on in the objective's direction alarms with its numbers; the other way does not."""
    curve = [0.5 + sign * 0.02 * epoch for epoch in range(15)]

    found = raised(build(tmp_path / "s", {"x": [1]}, lambda *_: curve, objective=replace(ACCURACY, mode=mode)))

    assert ("curve_rising" in found) is raises
    if raises:
        assert "over the last 5 of 15 epochs" in found["curve_rising"]
        assert f"{curve[10]:.4g} to {curve[14]:.4g}" in found["curve_rising"]


def test_noisy_plateau_is_not_rising(tmp_path):
    """A slope within twice its standard error is no improvement; three epochs are too few to tell."""
    assert "curve_rising" not in raised(
        build(tmp_path / "a", {"x": [1]}, lambda *_: [0.1, 0.5, 0.62, 0.58, 0.63, 0.59, 0.62])
    )
    assert "curve_rising" not in raised(build(tmp_path / "b", {"x": [1]}, lambda *_: [0.1, 0.2, 0.3]))


def test_best_epoch_selection_tells_its_gain(tmp_path):
    """Judged at the best epoch, the mean gain over the last one is told."""
    objective = replace(ACCURACY, at="best")
    found = raised(
        build(tmp_path / "s", {"x": [1, 2]}, lambda p, _: [0.5, 0.5 + 0.1 * p["x"], 0.5], objective=objective)
    )

    assert "up to 3 epochs" in found["best_epoch_selection"]
    assert "by 0.15 on average (n = 2 trials)" in found["best_epoch_selection"]


def test_small_evaluation_set_prints_wilson_s_interval(tmp_path):
    """22 of 30 right is anything from .556 to .858."""
    ending = {"metrics": {"val/accuracy": 22 / 30}, "extras": {"n": {"val": 30}}}

    text = raised(build(tmp_path / "s", {"x": [1]}, lambda *_: ending))["small_evaluation_set"]

    assert "n = 30 examples" in text
    assert "0.556 to 0.858" in text


def test_ragged_replicates_are_counted(tmp_path):
    """Four, five and five replicates with a score are told as such."""
    scores = {1: 4, 2: 5, 3: 5}

    found = raised(
        build(
            tmp_path / "s", {"x": [1, 2, 3]}, lambda p, r: 0.5 if r < scores[p["x"]] else failed(), replicates=range(5)
        )
    )

    assert "1 with 4, 2 with 5" in found["ragged_replicates"]


def test_winner_with_a_diverged_replicate_is_told(tmp_path):
    """A mean that leaves diverged replicates out says so."""
    found = raised(build(tmp_path / "s", {"x": [1]}, lambda _, r: diverged() if r else 0.5, replicates=(0, 1)))

    assert found["winner_diverged"].startswith("1 of 2 replicates of the winner diverged (Run 2)")


def test_replicates_that_change_nothing_are_told(tmp_path):
    """Equal scores in every replicate ask whether the seed is used at all."""
    assert (
        "does it change anything"
        in raised(build(tmp_path / "s", {"x": [1, 2]}, lambda p, _: p["x"] / 10, replicates=(0, 1)))[
            "identical_replicates"
        ]
    )


def test_mixed_devices_threads_and_data_are_counted(tmp_path):
    """Trials on two devices, two thread counts and two evaluation sets are told with their numbers."""

    def ending(params, _):
        odd = params["x"] == 3
        return {
            "metrics": {"val/accuracy": 0.5},
            "device": "cuda" if odd else "cpu",
            "threads": 2 if odd else 1,
            "code": "b" * 64 if odd else "a" * 64,
            "extras": {"n": {"val": 888 if odd else 3585}},
        }

    found = raised(build(tmp_path / "s", {"x": [1, 2, 3]}, ending))

    assert "cpu (2 trials), cuda (1 trials)" in found["mixed_devices"]
    assert "1 (2 trials), 2 (1 trials)" in found["mixed_threads"]
    assert "n = 888, 3585" in found["mixed_data"]
    assert f"{'a' * 12} (2 trials), {'b' * 12} (1 trials)" in found["mixed_code"]


def test_all_failed_names_the_first_reason(tmp_path):
    """When nothing completed and nothing is to come, that is the first alarm; while some are planned it is not one."""
    found = raised(
        build(tmp_path / "a", {"x": [1, 2]}, lambda p, _: failed(text="CUDA") if p["x"] == 1 else diverged())
    )

    assert next(iter(found)) == "all_failed"
    assert "None of the 2 trials completed (1 diverged, 1 failed)" in found["all_failed"]
    assert "Run 1 says: exception: CUDA" in found["all_failed"]
    assert "all_failed" not in raised(
        build(tmp_path / "b", {"x": [1, 2]}, lambda p, _: failed() if p["x"] == 1 else None)
    )


def test_unreadable_record_is_named(tmp_path):
    """An entry that cannot be read is an alarm with its file; the other shards count."""
    sweep = build(tmp_path / "s", {"x": [1, 2]}, lambda *_: 0.5)
    broken = sweep.shard(2) / "000001.json"
    broken.write_text("{")

    found = raised(sweep)

    assert str(broken) in found["unreadable_records"]
    assert "1 of 2 planned trials completed" in found["incomplete_grid"]


def test_second_outcome_that_differs_is_a_conflict(tmp_path):
    """A late result with other metrics is told, one with the same metrics is not."""
    sweep = build(tmp_path / "s", {"x": [1, 2]}, lambda *_: 0.5)
    first, second = read_ledger(sweep).rows
    publish(sweep, 1, [{**first.result, "seconds": 99.0}])
    publish(sweep, 2, [{**second.result, "metrics": {"val/accuracy": 0.9}}])

    assert raised(sweep)["conflicting_outcomes"].endswith("which stands: Run 2.")


def test_plan_with_holes_is_told(tmp_path):
    """A plan that lacks some combinations of its levels says how many."""
    sweep = build(tmp_path / "s", {"x": [1, 2], "y": [1, 2]}, lambda *_: 0.5)
    part = sweep.plan / "000001.jsonl"
    rows = [records.parse(line) for line in part.read_text().splitlines()]
    part.unlink()
    records.append(sweep.plan, records.Kind.PLAN, rows[0]["body"], sweep=SWEEP, rows=rows[1:4])

    assert "3 of the 4 combinations" in raised(sweep)["incomplete_grid"]


def test_many_runs_are_abbreviated():
    """A dozen run numbers are enough to look for."""
    assert runs(range(1, 21)) == "Runs 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more"
