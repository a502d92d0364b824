"""Fresh replicates for the short list: when they are due, which they are, and that nobody plans them twice."""

import pytest

from hpc_sweep import ledger
from hpc_sweep.analysis.decision import decide
from hpc_sweep.cluster import confirming
from hpc_sweep.objective import Objective
from hpc_sweep.plan import read_plan
from tests.builders import SWEEP, build, ended, publish

GRID = {"lr": [0.1, 0.2, 0.4], "l2": [0.0, 0.5]}
SEEDS = (3, 7)
OBJECTIVE = Objective(metric="val/accuracy", mode="max", at="last", replicate="seed", confirm=2)
PARAMETERS = {"executor": "slurm"}


def score(params, seed):
    """Return a score that grows with the learning rate, with some noise by the seed."""
    return 0.5 + params["lr"] / 4 - params["l2"] / 20 + 0.01 * ((7 * seed + round(10 * params["lr"])) % 5)


@pytest.fixture
def sweep(tmp_path):
    """Return a sweep of six configurations and two seeds that has ended."""
    return build(tmp_path, GRID, score, replicates=SEEDS, objective=OBJECTIVE, shards=3)


def run(sweep, part, value=score, only=None):
    """Publish an ending for the trials of a part."""
    for trial in part.trials:
        if only is None or trial.number in only:
            told = ended(value(trial.params, trial.replicate))
            publish(sweep, trial.shard, [{"trial": trial.id, **told}])


def test_the_short_list_runs_on_seeds_that_nobody_used(sweep):
    """The pick first, at most four configurations, each on the two numbers after the largest seed of the plan."""
    pick = decide(ledger.read_ledger(sweep)).winner.configuration

    part = confirming.extend(sweep, PARAMETERS)

    configurations = list(dict.fromkeys(tuple(trial.params.items()) for trial in part.trials))
    assert dict(configurations[0]) == pick
    assert 1 < len(configurations) <= 4
    assert [trial.replicate for trial in part.trials] == [8, 9] * len(configurations)
    assert [trial.number for trial in part.trials] == list(range(13, 13 + len(part.trials)))
    assert {trial.shard for trial in part.trials}.isdisjoint({1, 2, 3})
    assert all(part.configuration(trial)["seed"] == trial.replicate for trial in part.trials)
    assert all(trial.overrides[-1] == f"seed={trial.replicate}" for trial in part.trials)


def test_a_fresh_trial_is_its_origin_but_for_the_seed(sweep):
    """The configuration of each is that of a trial that ran, with another seed, and so has another id."""
    part = confirming.extend(sweep, PARAMETERS)
    plan = read_plan(sweep.plan, sweep=SWEEP)

    for trial in part.trials:
        origin = plan.origin(trial)
        wanted = plan.part_of(origin).configuration(origin) | {"seed": trial.replicate}
        assert part.configuration(trial) == wanted
        assert trial.id == confirming.identity(wanted, PARAMETERS)
    assert len({trial.id for trial in plan.trials}) == len(plan.trials)


def test_nothing_is_planned_while_a_trial_is_owed(tmp_path):
    """A sweep of which one trial has no outcome yet, or no objective that asks, gets no fresh replicates."""
    missing = build(
        tmp_path / "open",
        GRID,
        lambda p, s: None if (p["lr"], s) == (0.1, 3) else score(p, s),
        replicates=SEEDS,
        objective=OBJECTIVE,
    )
    unasked = build(tmp_path / "unasked", GRID, score, replicates=SEEDS)

    assert confirming.extend(missing, PARAMETERS) is None
    assert confirming.extend(unasked, PARAMETERS) is None


def test_nobody_confirms_twice(sweep):
    """The part is the record: who comes second finds it, also when both judged the same plan, and after it has run."""
    before = ledger.read_ledger(sweep)
    part = confirming.extend(sweep, PARAMETERS)

    assert confirming._append(sweep, before, confirming.origins_of(before), PARAMETERS) is None
    assert confirming.extend(sweep, PARAMETERS) is None
    run(sweep, part)
    assert confirming.extend(sweep, PARAMETERS) is None
    assert confirming.shards(sweep, PARAMETERS) == {trial.shard for trial in part.trials}


def test_the_confirmed_score_is_the_fresh_mean_of_the_one_that_was_named(sweep):
    """It appears when all of its fresh runs have ended, and the judgement counts all runs, old and fresh."""
    part = confirming.extend(sweep, PARAMETERS)
    named = part.trials[0].params
    own = [trial for trial in part.trials if trial.params == named]
    run(sweep, part, only={own[0].number})
    half = decide(ledger.read_ledger(sweep))
    run(sweep, part, only={trial.number for trial in part.trials} - {own[0].number})

    whole = decide(ledger.read_ledger(sweep))

    assert (half.confirmation.over, half.confirmation.n, half.winner.confirmed) == (False, 1, None)
    assert whole.confirmation.over
    assert whole.confirmation.mean == pytest.approx(sum(score(named, one.replicate) for one in own) / 2)
    assert whole.confirmation.interval[0] < whole.confirmation.mean < whole.confirmation.interval[1]
    assert whole.winner.confirmed == whole.confirmation.mean
    assert whole.winner.n == 4
    assert decide(ledger.read_ledger(sweep)).parse(whole.as_json()) == whole


@pytest.mark.parametrize(("retryable", "confirmed"), [(True, False), (False, True)])
def test_a_failure_that_is_tried_again_is_waited_for(sweep, retryable, confirmed):
    """While a fresh run may still get a score, no mean over fewer is quoted; a failure for good is left out."""
    part = confirming.extend(sweep, PARAMETERS)
    own = [trial for trial in part.trials if trial.params == part.trials[0].params]
    run(sweep, part, only={trial.number for trial in part.trials} - {own[1].number})
    error = {"reason": "signal 9", "text": "killed", "retryable": retryable, "tries": 1}
    publish(sweep, own[1].shard, [{"trial": own[1].id, "outcome": None, "metrics": {}, "epochs": 0, "error": error}])

    state = ledger.read_ledger(sweep, over=[own[1].shard])
    decision = decide(state)

    assert state.counts["failed"] == 1
    assert decision.confirmation.over is confirmed
    assert (decision.winner.confirmed is not None) is confirmed


def test_a_leader_that_the_fresh_runs_made_is_not_quoted_as_confirmed(sweep):
    """The named one fails on its fresh seeds: another leads by all runs, and has no confirmed score."""
    part = confirming.extend(sweep, PARAMETERS)
    named = part.trials[0].params
    run(sweep, part, lambda params, seed: score(params, seed) - 0.08 * (params == named))

    decision = decide(ledger.read_ledger(sweep))

    assert decision.winner.configuration != named
    assert decision.winner.confirmed is None
    assert decision.confirmation.configuration == named


def test_the_design_is_not_ragged_because_some_were_confirmed(sweep):
    """Fresh replicates are no hole in the grid: the alarms look at what was designed."""
    run(sweep, confirming.extend(sweep, PARAMETERS))

    kinds = {alarm.kind for alarm in decide(ledger.read_ledger(sweep)).alarms}

    assert kinds.isdisjoint({"ragged_replicates", "missing_cells", "incomplete_grid", "one_replicate"})


def test_a_sweep_without_a_swept_seed_keeps_its_own_apart_from_the_fresh_ones(tmp_path):
    """The seed that all trials had is told by none of them; its rows get it, and the fresh ones begin after it."""
    sweep = build(
        tmp_path,
        GRID,
        lambda p, s: score(p, 3 if s is None else s),
        replicates=[None],
        objective=OBJECTIVE,
        compose=lambda params, seed: {**params, "seed": 3 if seed is None else seed},
    )
    part = confirming.extend(sweep, PARAMETERS)
    run(sweep, part)

    decision = decide(ledger.read_ledger(sweep))

    assert sorted({trial.replicate for trial in part.trials}) == [4, 5]
    assert decision.winner.n in {1, 3}
    assert decision.verdict == "cannot_tell"
    assert decision.winner.confirmed is None or decision.winner.n == 3
