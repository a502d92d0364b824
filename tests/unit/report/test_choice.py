"""A person's other choice: recorded with its reason, refused without one, kept by later collections."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from hpc_sweep.cli import main
from hpc_sweep.errors import UserError
from hpc_sweep.report.collect import collect
from tests.builders import build, failed


@pytest.fixture
def sweep(tmp_path):
    """Return a sweep whose best is Run 3 and whose last trial failed."""
    scores = {1: 0.5, 2: 0.7, 3: 0.9, 4: failed()}
    return build(tmp_path / "s", {"lr": [1, 2, 3, 4]}, lambda p, _: scores[p["lr"]])


def test_choice_is_recorded_with_reason_and_delta_and_is_carried_on(sweep):
    """`optimized.yaml` becomes the chosen trial, the decision tells both, and the report says what it costs."""
    decision = collect(sweep, chosen=(2, "it is half the size"))

    body = json.loads(sweep.decision_json.read_text())
    assert decision.winner.configuration == {"lr": 3}
    assert body["choice"]["configuration"] == {"lr": 2}
    assert body["choice"]["reason"] == "it is half the size"
    assert body["choice"]["delta"] == pytest.approx(body["choice"]["shrunk"] - body["winner"]["shrunk"])
    assert yaml.safe_load(sweep.optimized.read_text())["lr"] == 2
    assert "it is half the size" in sweep.optimized.read_text()
    assert "A person chose otherwise: `lr=2`, Run 2." in sweep.report_md.read_text()
    assert "it is half the size" in sweep.report_html.read_text()


def test_choice_stands_until_the_pick_is_chosen(sweep):
    """A later collection keeps it; choosing the pick's own run takes it back."""
    collect(sweep, chosen=(2, "cheaper"))
    assert collect(sweep).choice.trial == 2

    assert collect(sweep, chosen=(3, "the pick after all")).choice is None
    assert yaml.safe_load(sweep.optimized.read_text())["lr"] == 3
    assert not sweep.choice.exists()


@pytest.mark.parametrize(
    ("chosen", "says"), [((2, " "), "needs a reason"), ((9, "why"), "no Run 9"), ((4, "why"), "Run 4 has no score")]
)
def test_choice_that_cannot_be_meant_changes_nothing(sweep, chosen, says):
    """Without a reason, without such a run, or without a score, nothing is written."""
    with pytest.raises(UserError, match=says):
        collect(sweep, chosen=chosen)

    assert not sweep.choice.exists()
    assert not sweep.decision_json.exists()


def test_command_prints_the_delta_and_refuses_without_a_reason(sweep):
    """`--choose` without `--reason` is a mistake of the call; with it the summary names choice and cost."""
    refused = CliRunner().invoke(main, ["collect", str(sweep.root), "--choose", "2"])
    done = CliRunner().invoke(main, ["collect", str(sweep.root), "--choose", "2", "--reason", "smaller"])

    assert refused.exit_code == 2
    assert "needs a reason" in refused.output
    assert done.exit_code == 1  # one trial failed
    assert "Chosen:      lr=2, run 2; " in done.output
    assert "Reason: smaller" in done.output
