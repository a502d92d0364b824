"""The winner, its ties and its verdict."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest

from hpc_sweep.analysis.decision import Decision, decide
from hpc_sweep.ledger import read_ledger
from tests.builders import ACCURACY, build, diverged, failed

FIELDS = ["schema", "inputs", "objective", "verdict", "rule", "winner", "tie_set", "leaderboard", "alarms"]
FIELDS += ["deductions", "coverage"]
WINNER = ["configuration", "trials", "n", "mean", "sd", "interval", "shrunk", "confirmed"]


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
    assert body["winner"]["shrunk"] is None
    assert body["winner"]["confirmed"] is None
    assert body["deductions"] == []
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

    assert first.winner.configuration == {"x": 1}
    assert first.leaderboard[0].mean == first.leaderboard[1].mean
    assert len(permuted) > 30
    assert all(other == first for other in permuted)


def test_lowest_mean_wins_in_min_mode(tmp_path):
    """With mode=min the smallest value leads, and being behind is counted in the same direction."""
    decision = decided(tmp_path, {1: 0.5, 2: 0.2, 3: 0.9}, objective=replace(ACCURACY, metric="val/loss", mode="min"))

    assert [entry.configuration["x"] for entry in decision.leaderboard] == [2, 1, 3]
    assert [entry.difference for entry in decision.leaderboard] == pytest.approx([0, 0.3, 0.7])
    assert "lowest first" in decision.rule


def test_exact_tie_goes_to_the_lowest_trial_number(tmp_path):
    """Equal means are both in the tie set, and the earlier trial is picked."""
    decision = decided(tmp_path, {1: 0.5, 2: 0.7, 3: 0.7})

    assert decision.winner.trials == [2]
    assert names(decision) == [2, 3]
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


def test_diverged_replicate_is_left_out_of_the_mean(tmp_path):
    """A configuration is judged by the replicates that completed."""
    decision = decided(tmp_path, {1: [0.5, 0.5], 2: [0.8, diverged()]}, replicates=(0, 1))

    assert decision.winner.configuration == {"x": 2}
    assert (decision.winner.n, decision.winner.trials) == (1, [3])
    assert decision.leaderboard[0].unscored == {"diverged": [4]}


def test_one_replicate_has_neither_sd_nor_interval(tmp_path):
    """From one value no spread is invented, and it cannot be told how much is chance."""
    decision = decided(tmp_path, {1: 0.5, 2: 0.7})

    assert (decision.winner.n, decision.winner.sd, decision.winner.interval) == (1, None, None)
    assert decision.verdict == "cannot_tell"
    assert "2 of 2 configurations have one replicate" in decision.rule


def test_interval_is_the_t_interval_of_the_pooled_replicate_sd(tmp_path):
    """Three configurations of two replicates: the pooled sd has three degrees of freedom."""
    decision = decided(tmp_path, {1: [0.1, 0.3], 2: [0.5, 0.5], 3: [0.8, 0.9]}, replicates=(0, 1))

    pooled = math.sqrt((0.02 + 0 + 0.005) / 3)
    half = 3.182446 * pooled / math.sqrt(2)
    assert decision.winner.interval == pytest.approx((0.85 - half, 0.85 + half), abs=1e-6)
    assert decision.winner.sd == pytest.approx(math.sqrt(0.005))
    assert "3 degrees of freedom" in decision.rule


def test_replicates_tell_ties_by_the_pooled_two_sample_bound(tmp_path):
    """A configuration just inside the bound is tied, one just outside is not."""
    spread = [-0.01, 0.0, 0.01]
    bound = 2.228139 * 0.01 * math.sqrt(2 / 3)  # 5 configurations of 3 replicates: 10 degrees of freedom
    means = {1: 0.5, 2: 0.7 - bound - 1e-4, 3: 0.7 - bound + 1e-4, 4: 0.7, 5: 0.1}

    decision = decided(tmp_path, {x: [m + s for s in spread] for x, m in means.items()}, n=5000, replicates=(0, 1, 2))

    assert names(decision) == [4, 3]
    assert decision.tie_set[1]["bound"] == pytest.approx(bound, rel=1e-5)
    assert decision.verdict == "leading"


def test_one_replicate_of_a_proportion_is_tied_within_the_evaluation_noise(tmp_path):
    """With 100 examples two accuracies near .7 differ only beyond 1.96 sqrt(2 p (1 - p) / 100)."""
    decision = decided(tmp_path, {1: 0.7, 2: 0.6, 3: 0.56}, n=100)

    assert names(decision) == [1, 2]
    assert decision.tie_set[1]["bound"] == pytest.approx(1.959964 * math.sqrt(2 * 0.65 * 0.35 / 100))
    assert "1.96 sqrt(2 p (1 - p) / 100)" in decision.rule
    assert decision.verdict == "cannot_tell"


def test_perfect_score_is_not_above_its_evaluation_noise(tmp_path):
    """A leader at 1.0 is tied with 0.95 on 20 examples: its noise is not zero because nothing was wrong."""
    assert names(decided(tmp_path, {1: 1.0, 2: 0.95}, n=20)) == [1, 2]


def test_without_known_noise_only_exact_ties_count(tmp_path):
    """One replicate of a metric that is no proportion: the rule says that no noise is known."""
    decision = decided(tmp_path, {1: 0.7, 2: 0.6999}, n=100, objective=replace(ACCURACY, metric="val/macro_f1"))

    assert names(decision) == [1]
    assert "no noise is known" in decision.rule
    assert "evaluation on 100 examples is not known" in decision.rule


def test_large_evaluation_set_and_replicates_give_a_leader(tmp_path):
    """Replicates with enough degrees of freedom and 1,000 examples or more are told: leading, never more."""
    scores = {x: [x / 10 + s / 1000 for s in range(3)] for x in range(1, 6)}
    f1 = replace(ACCURACY, metric="val/macro_f1")

    assert decided(tmp_path / "a", scores, n=1000, objective=f1, replicates=(0, 1, 2)).verdict == "leading"
    assert decided(tmp_path / "b", scores, n=999, objective=f1, replicates=(0, 1, 2)).verdict == "cannot_tell"
    assert decided(tmp_path / "c", scores, objective=f1, replicates=(0, 1, 2)).verdict == "cannot_tell"
    assert decided(tmp_path / "d", scores, n=90, replicates=(0, 1, 2)).verdict == "leading"


def test_too_few_degrees_of_freedom_cannot_tell(tmp_path):
    """Two replicates of seven configurations leave seven degrees of freedom; eight are enough."""
    scores = {x: [x / 10, x / 10 + 0.01] for x in range(1, 9)}
    fewer = dict(itertools.islice(scores.items(), 7))

    assert "7 degrees of freedom, fewer than 8" in decided(tmp_path / "a", fewer, n=5000, replicates=(0, 1)).rule
    assert decided(tmp_path / "b", scores, n=5000, replicates=(0, 1)).verdict == "leading"


def test_ragged_replicates_are_weighed_by_their_number(tmp_path):
    """The bound of a configuration with one replicate is wider than that of one with three."""
    scores = {1: [0.7, 0.71, 0.72], 2: [0.6, None, None], 3: [0.5, 0.51, 0.52]}
    board = decided(tmp_path, scores, replicates=(0, 1, 2)).leaderboard

    assert [entry.n for entry in board] == [3, 1, 3]
    assert board[1].interval is None
    assert board[1].bound == pytest.approx(board[2].bound * math.sqrt((1 + 1 / 3) / (2 / 3)))


def test_replicates_that_are_all_equal_show_no_noise(tmp_path):
    """A pooled sd of zero is no interval of width zero."""
    decision = decided(tmp_path, {1: [0.5, 0.5], 2: [0.7, 0.7]}, replicates=(0, 1))

    assert decision.winner.interval is None
    assert "no noise is known" in decision.rule


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
    assert "only one configuration has a score" in decision.rule


def test_inputs_are_the_logs_that_were_read(tmp_path):
    """The decision says how far it has read each log."""
    assert decided(tmp_path, {1: 0.5, 2: 0.7}).inputs == {"plan": 1, "shards/0001": 1, "shards/0002": 1}


def test_another_objective_may_be_asked_of_the_same_ledger(tmp_path):
    """A ledger can be judged by another metric than its own."""
    sweep = build(tmp_path / "s", {"x": [1, 2]}, lambda p, _: {"metrics": {"val/accuracy": p["x"], "val/loss": p["x"]}})
    ledger = read_ledger(sweep)

    assert decide(ledger).winner.configuration == {"x": 2}
    assert decide(ledger, replace(ACCURACY, metric="val/loss", mode="min")).winner.configuration == {"x": 1}
