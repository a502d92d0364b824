"""Which kind of table was run, and what is therefore said, or not said."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hpc_sweep.analysis.decision import decide_evidence
from hpc_sweep.analysis.design import Design
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.ledger import read_ledger
from hpc_sweep.plan import append_part
from tests import builders

SEEDS = (1, 2, 3)


class Listed(builders.Design):
    """A design of listed configurations, each with every replicate."""

    configurations: tuple = ()

    def cells(self):
        """Return the configurations with every replicate."""
        return [(point, seed) for point in self.configurations for seed in SEEDS]


def evidence_of(folder, configurations, ending):
    design = type("Run", (Listed,), {"configurations": configurations})({})
    sweep = builders.plan_sweep(folder, design)
    builders.finish(sweep, design, ending)
    return Evidence.of(read_ledger(sweep))


def test_a_grid_needs_no_words(tmp_path):
    """Of a plain grid all steps hold."""
    sweep = builders.build(tmp_path, {"lr": [0.1, 0.2], "l2": [0, 1]}, lambda *_: 0.5, replicates=SEEDS)

    assert Design.of(Evidence.of(read_ledger(sweep))).sentences() == []


@pytest.mark.parametrize("root", [3, 4, 5])
def test_an_additive_random_search_gets_no_interaction(tmp_path, root):
    """What a drawn value does within its class is no interaction: none is claimed, and that is said."""
    draw = np.random.default_rng(root)
    points = [{"lr": float(10 ** draw.uniform(-5, -1)), "drop": float(draw.uniform(0, 0.9))} for _ in range(24)]
    evidence = evidence_of(
        tmp_path, points, lambda p, _: 0.8 - 0.02 * abs(math.log10(p["lr"]) + 3) + float(draw.normal(0, 0.005))
    )
    decision = decide_evidence(evidence)

    (said,) = Design.of(evidence).sentences()
    assert said.startswith("lr, drop: drawn values")
    assert not [one for one in decision.deductions if "depends on" in one.text]
    assert "incomplete_grid" not in {alarm.kind for alarm in decision.alarms}


def test_conditional_hyperparameters_leave_no_holes(tmp_path):
    """Momentum belongs to one optimizer only: no cell is missing, and how its absence counts is said."""
    points = [{"opt": "sgd", "lr": lr, "momentum": m} for lr in (0.1, 0.01) for m in (0.0, 0.9)]
    points += [{"opt": "adam", "lr": lr} for lr in (0.1, 0.01, 0.001)]
    evidence = evidence_of(tmp_path, points, lambda p, seed: 0.8 - p["lr"] + seed / 1000 + p.get("momentum", 0) / 30)
    decision = decide_evidence(evidence)

    (said,) = Design.of(evidence).sentences()
    assert said.startswith("momentum: not in every configuration")
    assert {"incomplete_grid", "missing_cells"}.isdisjoint(alarm.kind for alarm in decision.alarms)
    assert decision.winner is not None


@pytest.mark.parametrize(
    ("asked", "shard", "told"), [({"lr": [0.3]}, 3, True), ({"lr": [0.1, 0.2]}, 3, False), ({"lr": [0.3]}, 2, False)]
)
def test_configurations_that_were_asked_for_later_are_told(tmp_path, asked, shard, told):
    """A second batch of new configurations may follow the first one's scores; new replicates, or a shard's, do not."""
    design = builders.Design({"lr": [0.1, 0.2]}, replicates=SEEDS)
    sweep = builders.build(tmp_path, design.grid, lambda *_: 0.5, replicates=SEEDS)
    later = [
        replace(trial, number=trial.number + 6, id=f"later{trial.number}", replicate=trial.replicate + 10)
        for trial in builders.Design(asked, replicates=SEEDS).trials()
    ]
    base = design.compose(*design.cells()[0])
    append_part(sweep.plan, later, [len(later)], sweep=builders.SWEEP, base=base, form="rebuilt", first_shard=shard)

    said = Design.of(Evidence.of(read_ledger(sweep))).sentences()

    assert [one.startswith("New configurations were asked for 2 times.") for one in said] == [True] * told
