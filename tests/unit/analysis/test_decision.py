"""The winner, its ties and its verdict."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from hpc_sweep.analysis.decision import Decision, decide
from hpc_sweep.ledger import read_ledger
from tests.builders import ACCURACY, build, diverged, failed

FIELDS = ["schema", "inputs", "objective", "verdict", "rule", "winner", "tie_set", "leaderboard", "alarms"]
FIELDS += ["deductions", "coverage", "evidence", "front", "choice", "confirmation"]
WINNER = ["configuration", "trials", "n", "mean", "sd", "interval", "shrunk", "confirmed", "absolute", "bracket"]


def decided(root, scores, *, n=None, objective=ACCURACY, replicates=(0,)):
    """Decide a sweep over `x` whose scores are told by configuration and replicate; None has not ended yet."""

    def ending(params, replicate):
        row = scores[params["x"]]
        score = row[replicate] if isinstance(row, (list, tuple)) else row
        if score is None or isinstance(score, dict):
            return score
        extras = {"n": {"val": n}} if n else {}
        return {"metrics": {objective.metric: score}, "extras": extras}

    sweep = build(root / "s", {"x": list(scores)}, ending, objective=objective, replicates=replicates)
    return decide(read_ledger(sweep))


def names(decision):
    """Return the tied levels of `x`."""
    return [entry["configuration"]["x"] for entry in decision.tie_set]


def test_json_has_exactly_the_fields_of_the_contract(tmp_path):
    """`decision.json` has the named fields, a winner has its own, and both are strict JSON that reads back."""
    decision = decided(tmp_path, {1: [0.5, 0.6], 2: [0.7, 0.8]}, replicates=(0, 1))

    body = json.loads(json.dumps(decision.as_json(), allow_nan=False))

    assert list(body) == FIELDS
    assert list(body["winner"]) == WINNER
    assert body["winner"]["confirmed"] is None
    assert [list(one) for one in body["deductions"]] == [["text", "grade", "evidence"]]
    assert all({"kind", "text", "remedy"} == set(alarm) for alarm in body["alarms"])
    assert list(body["coverage"]) == ["planned", "completed", "failed", "diverged", "pruned", "missing"]
    assert Decision.parse(body).as_json() == decision.as_json()


def test_highest_mean_wins_and_the_order_of_rows_does_not_matter(tmp_path):
    """Any permutation of the trials gives the same decision, to the bit."""
    scores = {1: [0.1, 0.2, 0.7], 2: [0.3, 0.3, 0.3], 3: [0.7, 0.1, 0.2]}
    sweep = build(tmp_path / "s", {"x": [1, 2, 3]}, lambda p, r: scores[p["x"]][r], replicates=(0, 1, 2))
    ledger = read_ledger(sweep)
    first = decide(ledger)

    permuted = [
        decide(replace(ledger, rows=rows))
        for rows in itertools.islice(itertools.permutations(ledger.rows), 0, None, 9973)
    ]

    assert first.leaderboard[0].mean == first.leaderboard[1].mean
    assert len(permuted) > 30
    assert all(other == first for other in permuted)


def test_lowest_mean_wins_in_min_mode(tmp_path):
    """With mode=min the smallest value leads, and being behind is counted in the same direction."""
    decision = decided(tmp_path, {1: 0.5, 2: 0.2, 3: 0.9}, objective=replace(ACCURACY, metric="val/loss", mode="min"))

    assert [entry.configuration["x"] for entry in decision.leaderboard] == [2, 1, 3]
    assert all(entry.difference >= -1e-9 for entry in decision.leaderboard)
    assert "the lowest shrunk score" in decision.rule


def test_exact_tie_goes_to_the_lowest_trial_number(tmp_path):
    """Equal means are both in the tie set, and the earlier trial is picked."""
    decision = decided(tmp_path, {1: 0.5, 2: 0.7, 3: 0.7})

    assert decision.winner.trials == [2]
    assert names(decision)[:2] == [2, 3]
    assert "lowest trial number" in decision.rule


def test_only_completed_trials_with_a_finite_value_are_ranked(tmp_path):
    """A diverged or failed trial never wins, whatever it reported, and it stays on the board without a rank."""
    best = {"metrics": {"val/accuracy": 0.99}}
    scores = {1: 0.5, 2: {**diverged(), **best}, 3: {**failed(), **best}, 4: None, 5: {"metrics": {}}}

    decision = decided(tmp_path, scores)

    assert decision.winner.configuration == {"x": 1}
    assert [entry.rank for entry in decision.leaderboard] == [1, None, None, None, None]
    unscored = [entry.unscored for entry in decision.leaderboard]
    assert unscored == [{}, {"diverged": [2]}, {"failed": [3]}, {"planned": [4]}, {"completed": [5]}]
    assert decision.coverage == {"planned": 5, "completed": 2, "failed": 1, "diverged": 1, "pruned": 0, "missing": 1}


def test_configuration_that_diverged_in_a_replicate_cannot_win(tmp_path):
    """Leaving out the bad replicate only would flatter it; the board says why it has no rank."""
    decision = decided(tmp_path, {1: [0.5, 0.5], 2: [0.8, diverged()]}, replicates=(0, 1))

    assert decision.winner.configuration == {"x": 1}
    assert decision.leaderboard[1].unscored == {"diverged": [4]}
    assert decision.leaderboard[1].note == "1 of 2 replicates diverged"
    assert "diverged_configurations" in [alarm.kind for alarm in decision.alarms]


def test_where_everything_diverged_somewhere_the_rest_is_ranked(tmp_path):
    """When no configuration is without a diverged replicate, those that completed decide, and an alarm says so."""
    decision = decided(tmp_path, {1: [0.5, diverged()], 2: [0.8, diverged()]}, replicates=(0, 1))

    assert decision.winner.configuration == {"x": 2}
    assert "winner_diverged" in [alarm.kind for alarm in decision.alarms]


def test_one_replicate_has_a_bracket_and_no_interval(tmp_path):
    """From one value no spread is invented; shrunk to observed is a range and is not called an interval."""
    decision = decided(tmp_path, {1: 0.5, 2: 0.7})
    winner = decision.winner

    assert (winner.n, winner.sd, winner.interval, winner.absolute) == (1, None, None, None)
    assert winner.bracket == pytest.approx((winner.shrunk, 0.7))
    assert decision.verdict == "cannot_tell"
    assert "one replicate" in decision.rule


def test_clear_winner_is_resolved(tmp_path):
    """A lead of many replicate sds on a large evaluation set whose items are known is resolved, and has no tie."""
    items = {x: "1" * (50 * x) + "0" * (5000 - 50 * x) for x in range(60, 66)}

    def ending(params, replicate):
        right = items[params["x"]] if params["x"] < 65 else items[65].replace("0", "1", 1000)
        missed = replicate * params["x"] % 11  # the replicates differ in a few items
        wrong = right[missed:] + "0" * missed
        return {
            "metrics": {"val/accuracy": wrong.count("1") / 5000},
            "extras": {"n": {"val": 5000}, "val/correct": wrong},
        }

    sweep = build(tmp_path / "s", {"x": list(items)}, ending, replicates=(0, 3, 7))
    decision = decide(read_ledger(sweep))

    assert decision.verdict == "resolved"
    assert names(decision) == [65]
    assert decision.evidence["noise"]["evaluation"] == "items"
    assert decision.winner.interval[0] < decision.winner.mean < decision.winner.interval[1] + 0.01


def test_shrunk_score_of_a_lucky_winner_is_below_the_observed_one(tmp_path):
    """Among equal configurations with noise the best is drawn towards the others, and all are tied."""
    noise = [0.01, -0.012, 0.004, -0.002, 0.013, -0.006, 0.0, 0.007, -0.011, 0.003]
    scores = {x: [0.6 + noise[(3 * x + 4 * s) % 10] for s in range(3)] for x in range(10)}

    decision = decided(tmp_path, scores, n=5000, replicates=(0, 1, 2))

    assert decision.verdict == "leading"
    assert decision.winner.shrunk < decision.winner.mean
    assert len(names(decision)) == 10
    assert decision.evidence["replicates_needed"] is None or decision.evidence["replicates_needed"] > 3


def test_evaluation_set_that_is_small_and_unknown_cannot_tell(tmp_path):
    """Nothing is told on 999 examples whose outcomes were not stored; on 1,000 it may be."""
    scores = {x: [x / 20 + 0.3 + s / 1000 + (x * s % 3) / 2000 for s in range(3)] for x in range(1, 8)}

    assert decided(tmp_path / "a", scores, n=999, replicates=(0, 1, 2)).verdict == "cannot_tell"
    assert decided(tmp_path / "b", scores, n=1000, replicates=(0, 1, 2)).verdict == "leading"


def test_macro_f1_is_not_taken_for_a_share_of_examples(tmp_path):
    """Of a metric that is no proportion no binomial noise is invented, in either direction."""
    scores = {x: [x / 20 + 0.3 + s / 1000 + (x * s % 3) / 2000 for s in range(3)] for x in range(1, 8)}
    for number, (metric, mode) in enumerate([("val/macro_f1", "max"), ("val/loss", "min")]):
        objective = replace(ACCURACY, metric=metric, mode=mode)
        decision = decided(tmp_path / str(number), scores, n=5000, objective=objective, replicates=(0, 1, 2))

        assert decision.evidence["noise"]["evaluation"] == "unknown"


def test_error_rate_is_a_share_whose_least_is_best(tmp_path):
    """A proportion with mode=min has its evaluation noise, and its numbers stay in its own direction."""
    scores = {1: [0.3, 0.31, 0.32], 2: [0.2, 0.21, 0.22], 3: [0.25, 0.26, 0.24]}
    objective = replace(ACCURACY, metric="val/error", mode="min")

    decision = decided(tmp_path, scores, n=500, objective=objective, replicates=(0, 1, 2))

    assert decision.evidence["noise"]["evaluation"] == "bound"
    assert decision.winner.configuration == {"x": 2}
    assert decision.winner.interval[0] < decision.winner.shrunk < decision.winner.interval[1]
    assert 0.2 < decision.winner.shrunk < 0.26


def test_constraint_excludes_whoever_breaks_it(tmp_path):
    """The best by recall does not win when its precision is too low, and the board says why."""
    found = {1: (0.97, 0.02), 2: (0.8, 0.9), 3: (0.7, 0.95)}

    def ending(params, _):
        recall, precision = found[params["x"]]
        return {"metrics": {"val/recall": recall, "val/precision": precision}}

    objective = replace(ACCURACY, metric="val/recall", constraints=("val/precision >= 0.5",))
    decision = decide(read_ledger(build(tmp_path / "s", {"x": [1, 2, 3]}, ending, objective=objective)))

    assert decision.winner.configuration == {"x": 2}
    assert decision.leaderboard[2].note == "val/precision = 0.02, against the constraint val/precision >= 0.5"
    assert "Only configurations that keep to val/precision >= 0.5" in decision.rule
    assert [one["configuration"]["x"] for one in decision.front] == [1, 2, 3]


def test_constraint_that_nobody_keeps_ranks_nothing(tmp_path):
    """Then there is no winner, and the sentence names the constraint."""
    objective = replace(ACCURACY, constraints=("val/f1 >= 0.5",))
    decision = decided(tmp_path, {1: 0.5, 2: 0.7}, objective=objective)

    assert decision.winner is None
    assert "no configuration keeps to val/f1 >= 0.5" in decision.rule


def test_too_few_degrees_of_freedom_cannot_tell(tmp_path):
    """Two replicates of three configurations leave too few degrees of freedom."""
    scores = {x: [x / 10, x / 10 + x / 100] for x in range(1, 4)}

    assert "degrees of freedom only" in decided(tmp_path, scores, n=5000, replicates=(0, 1)).rule


def test_replicates_that_are_all_equal_show_no_noise(tmp_path):
    """A pooled sd of zero is no interval of width zero, and resolves nothing."""
    scores = {x: [x / 20] * 3 for x in range(1, 9)}
    decision = decided(tmp_path, scores, n=5000, replicates=(0, 1, 2))

    assert decision.winner.interval is None
    assert decision.verdict == "cannot_tell"
    assert "no noise can be seen" in decision.rule


@pytest.mark.parametrize("shift", [0.0, 0.01])
def test_without_noise_no_difference_between_levels_is_claimed(tmp_path, shift):
    """Equal scores, or scores that replicates shift alike, hold nothing against which a difference could be tested."""
    scores = {x: [x / 20 + shift * r for r in range(3)] for x in range(1, 9)}
    decision = decided(tmp_path, scores, n=5000, replicates=(0, 1, 2))

    assert {one.grade for one in decision.deductions} == {"not resolved"}
    assert "So no difference between levels can be tested." in decision.deductions[0].text


def test_levels_may_be_lists_mappings_and_infinite(tmp_path):
    """Whatever JSON a hyperparameter takes, a regulariser and a learning rate among them, the sweep is decided."""
    grid = {
        "betas": [[0.9, 0.999], [0.8, 0.99]],
        "dropout": [{"block": 0.1}, {"block": 0.5}],
        "lr": [{"float": "inf"}, 0.001],
    }
    curve = [0.1, 0.4, 0.3, 0.5, 0.4, 0.6]
    sweep = build(
        tmp_path / "s", grid, lambda p, r: [v + 0.01 * r * (p["lr"] == 0.001) for v in curve], replicates=(0, 1, 2)
    )

    assert decide(read_ledger(sweep)).winner is not None


def test_rerun_of_a_cell_is_no_replicate(tmp_path):
    """The same configuration and seed twice counts once, and the noise between the two is told apart."""
    sweep = build(tmp_path / "s", {"x": [1, 1, 2]}, lambda p, r: p["x"] / 10 + r / 100, replicates=(0, 1))
    rows = read_ledger(sweep)
    changed = replace(
        rows,
        rows=tuple(
            replace(row, result={**row.result, "metrics": {"val/accuracy": 0.14}}) if row.trial.number == 3 else row
            for row in rows.rows
        ),
    )

    decision = decide(changed)

    first = next(entry for entry in decision.leaderboard if entry.configuration == {"x": 1})
    assert (len(first.trials), first.n) == (4, 2)
    assert decision.evidence["noise"]["rerun_df"] == 1
    assert decision.evidence["copies"] == [[2, 4]]


def test_without_a_mode_nothing_is_ranked(tmp_path):
    """Nobody wins when nobody said what is better, and the text says what to type."""
    decision = decided(tmp_path, {1: 0.5, 2: 0.7}, objective=replace(ACCURACY, mode=None))

    assert decision.winner is None
    assert decision.tie_set == ()
    assert [(entry.rank, entry.mean) for entry in decision.leaderboard] == [(None, 0.5), (None, 0.7)]
    assert "objective.mode=max" in decision.rule
    assert decision.verdict == "cannot_tell"


def test_missing_metric_ranks_nothing_and_names_what_there_is(tmp_path):
    """When no trial reported the objective's metric, the alarm lists the metrics that were reported."""
    sweep = build(tmp_path / "s", {"x": [1]}, lambda *_: {"metrics": {"val/f1": 0.5, "train/loss": 1.0}})

    decision = decide(read_ledger(sweep))

    assert decision.winner is None
    assert "no completed trial has a finite val/accuracy" in decision.rule
    alarm = next(alarm for alarm in decision.alarms if alarm.kind == "metric_missing")
    assert "train/loss, val/f1" in alarm.text


def test_empty_sweep_is_decided(tmp_path):
    """Before anything finished there is a decision without a winner."""
    decision = decided(tmp_path, {1: None, 2: None})

    assert decision.winner is None
    assert decision.coverage["missing"] == 2


def test_only_configuration_is_picked_and_cannot_be_told(tmp_path):
    """A sweep of one configuration has a pick and no rival."""
    decision = decided(tmp_path, {1: [0.5, 0.6]}, n=5000, replicates=(0, 1))

    assert decision.winner.configuration == {"x": 1}
    assert "Only one configuration" in decision.rule


def test_inputs_are_the_logs_that_were_read(tmp_path):
    """The decision says how far it has read each log."""
    assert decided(tmp_path, {1: 0.5, 2: 0.7}).inputs == {"plan": 1, "shards/0001": 1, "shards/0002": 1}


def test_another_objective_may_be_asked_of_the_same_ledger(tmp_path):
    """A ledger can be judged by another metric than its own."""
    sweep = build(tmp_path / "s", {"x": [1, 2]}, lambda p, _: {"metrics": {"val/accuracy": p["x"], "val/loss": p["x"]}})
    ledger = read_ledger(sweep)

    assert decide(ledger).winner.configuration == {"x": 2}
    assert decide(ledger, replace(ACCURACY, metric="val/loss", mode="min")).winner.configuration == {"x": 1}
