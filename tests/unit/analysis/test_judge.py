"""The judgement of whole sweeps: invariances, verdicts, and its promises in a quick simulation with a planted truth."""

import csv
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.decision import Cell, bars, observe, plant, run, sweeps
from hpc_sweep.analysis.confirmation import to_confirm
from hpc_sweep.analysis.judge import Scores, judge

PLANTED = Cell("planted", 60, 3, 1.0)


def grid(*sizes):
    """Return the configurations of a full grid."""
    return [dict(zip("abcdef", levels, strict=False)) for levels in itertools.product(*map(range, sizes))]


def runs(matrix):
    """Return the runs of a table without gaps."""
    return [(c, r, float(score)) for (c, r), score in np.ndenumerate(matrix)]


@pytest.fixture(scope="module")
def scores():
    """Return one planted sweep, N = 60, R = 3."""
    return next(sweeps(PLANTED, 1))[1]


@pytest.fixture(scope="module")
def clear():
    """Return a sweep with one configuration far above all others, R = 3."""
    matrix = np.random.default_rng(1).normal(0.8, 0.01, (18, 3))
    matrix[7] += 0.3
    return Scores(grid(3, 3, 2), runs(matrix))


def test_the_order_of_the_runs_changes_nothing(scores):
    """Rows in any order give the same judgement."""
    shuffled = [scores.values[k] for k in np.random.default_rng(1).permutation(len(scores.values))]

    base, moved = judge(scores), judge(replace(scores, values=shuffled))

    assert (moved.leader, moved.tie_set, moved.verdict) == (base.leader, base.tie_set, base.verdict)
    assert moved.interval == pytest.approx(base.interval)
    assert moved.shrunk_scores == pytest.approx(base.shrunk_scores, nan_ok=True)


def test_names_and_numbers_of_configurations_change_nothing(scores):
    """Relabelled levels and renumbered configurations give the same judgement of the same configurations."""
    order = np.random.default_rng(2).permutation(60)
    place = np.argsort(order)
    renamed = [{f"{k}!": f"value {v}" for k, v in scores.configurations[index].items()} for index in order]
    moved = judge(Scores(renamed, [(int(place[c]), f"seed {r}", s) for c, r, s in scores.values]))

    base = judge(scores)

    assert order[moved.leader] == base.leader
    assert {int(order[index]) for index in moved.tie_set} == set(base.tie_set)
    assert moved.interval == pytest.approx(base.interval)
    assert moved.collapsed == tuple(sorted(int(place[index]) for index in base.collapsed))


def test_a_constant_shifts_every_score(scores):
    """Adding .1 moves scores and intervals by .1 and leaves sets and verdict."""
    base, moved = judge(scores), judge(replace(scores, values=[(c, r, s + 0.1) for c, r, s in scores.values]))

    assert moved.shrunk == pytest.approx(base.shrunk + 0.1)
    assert moved.absolute == pytest.approx(tuple(end + 0.1 for end in base.absolute))
    assert moved.shrunk_scores == pytest.approx([score + 0.1 for score in base.shrunk_scores], nan_ok=True)
    assert (moved.tie_set, moved.mcb, moved.short_list) == (base.tie_set, base.mcb, base.short_list)


def test_a_factor_scales_every_score(scores):
    """Twice the scores: twice the shrunk scores, errors and noise."""
    base, doubled = judge(scores), judge(replace(scores, values=[(c, r, 2 * s) for c, r, s in scores.values]))

    assert doubled.shrunk == pytest.approx(2 * base.shrunk)
    assert doubled.sd == pytest.approx(2 * base.sd)
    assert doubled.standard_errors == pytest.approx([2 * error for error in base.standard_errors], nan_ok=True)
    assert (doubled.tie_set, doubled.mcb, doubled.replicates_needed) == (base.tie_set, base.mcb, base.replicates_needed)


def test_a_collapsed_configuration_hardly_matters():
    """Removing one that collapsed moves the leader's score by less than a tenth of its standard error."""
    truth, scores = next((t, s) for t, s in sweeps(PLANTED, 20) if len(judge(s).collapsed) > 2)
    base = judge(scores)
    gone = base.collapsed[0]

    without = judge(replace(scores, values=[row for row in scores.values if row[0] != gone]))

    assert len(truth.configurations) == 60
    assert without.leader == base.leader
    assert gone in without.never_ran
    assert abs(without.shrunk - base.shrunk) < 0.1 * base.standard_errors[base.leader]


def test_a_clear_winner_is_resolved(clear):
    """Everything else is worse, with the model and without: the rare verdict."""
    judgement = judge(clear)

    assert (judgement.leader, judgement.pick, judgement.verdict) == (7, 7, "resolved")
    assert judgement.tie_set == judgement.mcb == judgement.short_list == (7,)
    assert judgement.expected_loss == 0
    assert judgement.interval[0] < 1.1 < judgement.interval[1]


def test_an_incomplete_leader_is_never_resolved(clear):
    """The same winner with two of three replicates leads only, and the sentence says so."""
    judgement = judge(replace(clear, values=[row for row in clear.values if row[:2] != (7, 2)]))

    assert judgement.verdict == "leading"
    assert "2 of 3 replicates" in judgement.reason


def test_ties_are_leading_and_counted(scores):
    """The ordinary case: the sentence has the number of those that cannot be told from the leader."""
    judgement = judge(scores)

    assert judgement.verdict == "leading"
    assert f"{len(judgement.tie_set) - 1} other configuration" in judgement.reason
    assert judgement.tie_set[0] == judgement.short_list[0] == judgement.leader
    assert judgement.replicates_needed > 3
    assert judgement.held_out < judgement.observed


def test_one_replicate_cannot_tell(scores):
    """A bracket, no interval, no number of replicates, whatever the margin."""
    judgement = judge(replace(scores, values=[(c, r, s) for c, r, s in scores.values if r == 0]))

    assert judgement.verdict == "cannot_tell"
    assert "one replicate" in judgement.reason
    assert judgement.interval is judgement.absolute is judgement.replicates_needed is judgement.held_out is None
    assert judgement.bracket == (judgement.shrunk, judgement.observed)


def test_few_degrees_of_freedom_cannot_tell():
    """Four configurations with three seeds leave six degrees of freedom."""
    matrix = np.random.default_rng(3).normal(0.5, 0.01, (4, 3))
    matrix[0] += 0.3

    judgement = judge(Scores(grid(2, 2), runs(matrix)))

    assert judgement.verdict == "cannot_tell"
    assert "6 degrees of freedom" in judgement.reason


def test_a_small_evaluation_set_cannot_tell(clear):
    """Below 1,000 items without their outcomes there is no verdict; Wilson's interval is inside the one printed."""
    low = replace(clear, values=[(c, r, s - 0.3) for c, r, s in clear.values])

    judgement = judge(replace(low, n_items=300))

    assert judgement.verdict == "cannot_tell"
    assert "300 items" in judgement.reason
    assert judgement.absolute[1] - judgement.absolute[0] > 0.08
    assert judge(replace(low, n_items=10**9)).verdict == "resolved"


def test_item_outcomes_make_a_verdict_possible():
    """With the items stored, a set of 300 is noise that is known, and the ties are wider than by seeds alone."""
    rng = np.random.default_rng(4)
    chance = np.clip(rng.normal(0.8, 0.02, 18), 0, 1)
    right = rng.random((18, 3, 300)) < chance[:, None, None]
    values = [(c, r, float(right[c, r].mean())) for c in range(18) for r in range(3)]
    steady = [(c, r, float(right[c, 0].mean() + rng.normal(0, 1e-3))) for c in range(18) for r in range(3)]

    judgement = judge(Scores(grid(3, 3, 2), values, items=[right[c, r] for c in range(18) for r in range(3)]))
    alone = judge(Scores(grid(3, 3, 2), steady))
    known = judge(Scores(grid(3, 3, 2), steady, items=[right[c, 0] for c in range(18) for _ in range(3)]))

    assert judgement.evaluation == "items"
    assert judgement.verdict == "leading"
    assert len(known.tie_set) > len(alone.tie_set)


def test_the_simplest_is_taken_only_on_request(scores):
    """Within a quarter of a standard error of the leader; its expected loss is printed."""
    complexity = [len(scores.configurations) - index for index in range(60)]
    told = replace(scores, complexity=complexity)

    default, simple = judge(told), judge(told, rule="simplest")

    assert default.pick == default.leader
    assert simple.pick == simple.simplest == default.simplest
    assert complexity[simple.pick] <= complexity[simple.leader]
    assert simple.expected_loss == default.simplest_loss >= 0
    with pytest.raises(ValueError, match="simplest needs complexity"):
        judge(replace(scores, complexity=None), rule="simplest")


def test_odd_tables_are_judged():
    """One configuration, equal scores, two runs: no error and no claim."""
    one = judge(Scores([{"a": 1}], [(0, r, 0.5 + 0.01 * r) for r in range(4)]))
    equal = judge(Scores(grid(3, 2), [(c, r, 0.8) for c in range(6) for r in range(4)]))
    two = judge(Scores(grid(2), [(0, 0, 0.5), (1, 0, 0.6)]))

    assert (one.verdict, one.observed, one.shrunk) == ("cannot_tell", 0.515, pytest.approx(0.515))
    assert "only one configuration" in one.reason.lower()
    assert (equal.verdict, len(equal.tie_set), len(equal.twins)) == ("leading", 6, 1)
    assert (two.verdict, two.leader) == ("cannot_tell", 1)


def test_what_did_not_run_or_diverged_is_named():
    """Configurations without a usable outcome are listed and have no score."""
    values = [(c, r, 0.5 + 0.01 * c + 0.001 * r * c) for c in range(6) for r in range(3)]
    judgement = judge(Scores(grid(4, 2), [*values, (6, 0, -math.inf)]))

    assert (judgement.diverged, judgement.never_ran) == ((6,), (7,))
    assert math.isnan(judgement.scores[7])
    assert judgement.runs[6:] == (0, 0)


def test_a_large_random_search_is_judged_without_a_square_matrix():
    """3,000 configurations with continuous levels: neighbours lend strength, and the interval holds the truth."""
    rng = np.random.default_rng(5)
    x = rng.random(3000)
    configurations = [{"x": float(value), "opt": "ab"[k % 2]} for k, value in enumerate(x)]
    values = [(c, r, float(-((x[c] - 0.3) ** 2) + rng.normal(0, 0.05))) for c in range(3000) for r in range(3)]

    judgement = judge(Scores(configurations, values))

    assert int(np.argmin(np.abs(x - 0.3))) in judgement.tie_set
    assert judgement.interval[0] < -((x[judgement.leader] - 0.3) ** 2) < judgement.interval[1]


def test_at_most_four_of_the_short_list_deserve_fresh_replicates():
    """The pick comes first, then the best of the others."""
    rng = np.random.default_rng(6)
    judgement = judge(observe(plant(PLANTED, rng), PLANTED, rng))

    named, *others = to_confirm(judgement)

    assert named == judgement.pick
    assert others == [index for index in judgement.short_list if index != named][:3]
    assert len(others) == 3


def test_the_real_ragged_table_yields_no_unwarranted_winner(shared_data):
    """The 180 runs of stage 13: 42 reruns whose noise is as large as that of seeds, 42 empty cells, no winner."""
    with (shared_data / "stage13_runs.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    names = ("hidden_units", "dropout", "learning_rate")
    levels = {name: sorted({float(row[name]) for row in table}) for name in names}
    configurations = [dict(zip(names, point, strict=True)) for point in itertools.product(*levels.values())]
    place = {tuple(point.values()): index for index, point in enumerate(configurations)}
    values = [(place[tuple(float(row[n]) for n in names)], row["seed"], float(row["ood/f1"])) for row in table]
    outputs = [tuple(value for key, value in row.items() if "/" in key) for row in table]

    judgement = judge(Scores(configurations, values, outputs=outputs))

    assert (len(table), judgement.rerun_df, 3 * 60 - sum(judgement.runs)) == (180, 42, 42)
    assert judgement.copies == ()
    assert judgement.rerun_sd == pytest.approx(0.0466, abs=1e-4)
    assert judgement.rerun_sd > judgement.sd
    assert set(judgement.runs) == {1, 2, 3}
    assert judgement.verdict == "leading"
    assert len(judgement.tie_set) == 31
    assert judgement.shrunk < judgement.observed


@pytest.mark.parametrize("cell", [Cell("planted", 18, 3, 1.0), PLANTED], ids=str)
def test_the_promises_hold_for_planted_sweeps(cell):
    """300 sweeps: bias, coverage, ties, regret and effects within their bands; the simulator shows the curse."""
    summary = run(cell, 300)

    assert [str(bar) for bar in bars(summary) if not bar.kept] == []
    assert summary.mean("naive") > (0.5 if cell.size == 18 else 0.8)
    assert abs(summary.mean("bias")) <= 0.25
    assert summary.mean("covers") >= 0.895
    assert summary.mean("tie_holds") >= 0.96
    assert summary.mean("mcb_holds") >= 0.97
    assert summary.mean("tie_size") <= 1.05 * summary.mean("mcb_size")


def test_nothing_is_claimed_where_nothing_is_true():
    """150 sweeps of equal configurations: none resolved, few effects supported, a score that is not inflated."""
    summary = run(Cell("null", 18, 3, 1.0), 150)

    assert [str(bar) for bar in bars(summary) if not bar.kept] == []
    assert summary.mean("resolved") == 0


def test_noise_alone_collapses_nothing():
    """In 60 sweeps of equal configurations no more than a few have one that is called collapsed."""
    found = [judge(scores).collapsed for _, scores in sweeps(Cell("null", 18, 3, 1.0), 60)]

    assert sum(map(bool, found)) <= 4


def test_the_benchmark_notices_a_broken_promise():
    """A score that is too high by three points misses the bar of bias."""
    summary = run(Cell("planted", 18, 3, 1.0), 20)
    summary.values["bias"] += 3

    assert any("bias" in bar.name for bar in bars(summary) if not bar.kept)
