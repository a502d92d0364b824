"""The report as a person reads it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.collect import collect, written
from hpc_sweep.report.markdown import markdown
from tests.builders import ACCURACY, build, configuration, diverged, failed

GRID = {"dropout": [0.3, 0.4], "lr": [0.001, 0.0001]}


def report_of(root, grid, ending, **design):
    """Build a sweep, and return its report; pictures are not drawn."""
    sweep = build(root / "s", grid, ending, **design)
    return markdown(written(sweep, read_ledger(sweep)).document())


def full(params, seed):
    """Return a trial with a curve, a size of its evaluation set and a confusion matrix."""
    score = 0.5 + params["lr"] + params["dropout"] / 10 + seed / 100
    extras = {"n": {"val": 90}, "val/confusion": [[40, 5], [5, 40]], "classes": ["a", "b"]}
    curve = [0.2, score + 0.01, score]
    return {"metrics": {"val/accuracy": score}, "curves": {"val/accuracy": curve}, "extras": extras, "epochs": 3}


def section(told, title):
    """Return one section of a report."""
    return re.split(r"^## ", told, flags=re.MULTILINE)[1:][
        [part.splitlines()[0] for part in re.split(r"^## ", told, flags=re.MULTILINE)[1:]].index(title)
    ]


def test_finished_sweep_has_every_section_in_order(tmp_path):
    """The pick comes first, what it rests on follows."""
    told = report_of(tmp_path, GRID, full, replicates=(0, 1))

    assert re.findall(r"^#+ (.*)$", told, flags=re.MULTILINE) == [
        "Sweep report: val/accuracy",
        "The pick",
        "Optimized configuration",
        "Alarms",
        "Leaderboard",
        "Deductions",
        "Hyperparameters",
        "Parallel coordinates",
        "Learning curves",
        "Cost",
        "Confusion matrix",
        "Coverage",
        "Provenance",
    ]


def test_pick_says_its_score_its_n_and_what_is_not_known(tmp_path):
    """The card has run numbers, values, scores, n, spread and verdict; the box says what they rest on."""
    card = section(report_of(tmp_path, GRID, full, replicates=(0, 1)), "The pick")

    assert "> **Runs 5, 6**: `dropout=0.4`, `lr=0.001`" in card
    assert "**val/accuracy = 0.5460** at the last epoch, n = 2, sd 0.0071, shrunk 0.5" in card
    assert "**cannot tell**" in card
    assert "confirmed on fresh replicates: not yet" in card
    assert "chosen from 4, and so too good" in card


def test_one_replicate_says_that_there_is_no_interval(tmp_path):
    """Nothing stands where a number would be invented."""
    assert re.search(r"n = 1, no sd, shrunk 0\.\d+, no interval", section(report_of(tmp_path, GRID, full), "The pick"))


def test_pictures_are_there_and_embedded_by_relative_paths(tmp_path):
    """Every embedded picture and every linked file exists beside the report."""
    sweep = build(tmp_path / "s", GRID, full)
    collect(sweep)

    links = re.findall(r"\]\(([^)]*)\)", sweep.report_md.read_text(encoding="utf-8"))
    assert len([link for link in links if link.endswith(".png")]) == 9
    assert all((tmp_path / "s" / "decision" / link).is_file() for link in links)


def test_leaderboard_has_the_winner_in_bold(tmp_path):
    """One row for each configuration, the pick's cells bold."""
    board = section(report_of(tmp_path, GRID, full), "Leaderboard")

    rows = [line for line in board.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == 1 + 4
    assert rows[1].startswith("| **1** | **3** | **`0.4`** | **`0.001`** |")
    assert rows[2].startswith("| 2 | 4 | `0.4` | `0.0001` |")


def test_marginal_means_are_labelled_as_no_test(tmp_path):
    """Each level has its mean and the number of configurations behind it."""
    means = section(report_of(tmp_path, GRID, full), "Hyperparameters")

    assert "Means over the grid that ran; no test." in means
    assert "| `lr` | `0.001` | 0.5360 | 0.5310 | 0.5410 | 2 |" in means


def test_curves_are_told_at_the_last_and_at_the_best_epoch(tmp_path):
    """The winner's own best epoch stands beside its last."""
    curves = section(report_of(tmp_path, GRID, full), "Learning curves")

    assert "| 3 | 3 | 0.5410 | 0.5510 | 2 | - |" in curves


def test_running_sweep_is_partial_in_its_title(tmp_path):
    """Whatever has no outcome yet makes the report partial: n of N have ended."""
    endings = iter([0.5, failed(), diverged(), None])

    told = report_of(tmp_path, GRID, lambda *_: next(endings))

    assert told.startswith("# PARTIAL 3/4: Sweep report: val/accuracy\n")
    assert "4 trials planned: 1 completed, 1 failed, 1 diverged, 1 missing." in told


def test_failures_have_their_reasons(tmp_path):
    """A failed and a diverged trial are listed with what they said."""
    endings = iter([0.5, failed("signal 9", "killed"), diverged("loss is not finite"), 0.4])

    failures = section(report_of(tmp_path, GRID, lambda *_: next(endings)), "Failures")

    assert "| 2 | failed | `dropout=0.3`, `lr=0.0001` | signal 9: killed |" in failures
    assert "| 3 | diverged | `dropout=0.4`, `lr=0.001` | loss is not finite |" in failures


@pytest.mark.parametrize("ending", [None, failed(), diverged(), {"metrics": {"val/f1": 0.3}}])
def test_sweep_without_a_score_has_a_report(tmp_path, ending):
    """Nothing finished, all failed, all diverged, metric missing: the report says that nothing is ranked, and why."""
    told = report_of(tmp_path, GRID, lambda *_: ending)

    assert "## No winner" in told
    assert "no completed trial has a finite val/accuracy" in told
    assert "Optimized configuration" not in told
    assert "plots/" not in told


def test_sweep_without_a_mode_says_what_to_type(tmp_path):
    """The reader is told to declare a direction for the sweep that is there."""
    told = report_of(tmp_path, GRID, full, objective=replace(ACCURACY, mode=None))

    assert "hydra.launcher.objective.mode=max (or min) and its hydra.sweep.dir" in section(told, "No winner")


def test_production_is_offered_for_our_tasks_and_the_config_group_for_foreign_apps(tmp_path):
    """A configuration with a task can be trained by `jobs/production.py`; another app loads the winner itself."""
    ours = report_of(tmp_path / "a b", GRID, full, compose=lambda p, r: {"task": "instruments", **configuration(p, r)})
    foreign = report_of(tmp_path / "foreign", GRID, full)

    assert "python jobs/production.py " in ours
    assert "a b" in ours
    assert "jobs/production.py" not in foreign
    assert "+winner=optimized" in foreign


HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "`x`",
    "**y**",
    "[z](javascript:1)",
    "one\n\n# two",
    "${a}",
    "&amp;",
    "\u202ez",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_values_and_errors_stay_text(tmp_path, hostile):
    """Whatever a hyperparameter, a level, an error, a note or a version is called, the report keeps its shape."""
    plain = iter([0.5, failed("exception", "boom"), diverged("bad"), 0.6])
    nasty = iter([0.5, failed(hostile, hostile), diverged(hostile), 0.6])

    def shape(markdown):
        html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown)
        return re.findall(r"<(?:/?(?:h\d|table|tr|td|th|ul|li|blockquote|img|pre|strong)|script|a href=.[a-z]+:)", html)

    tame = report_of(tmp_path / "plain", {"name": ["a", "b"], "other": ["c", "d"]}, lambda *_: next(plain))
    wild = report_of(tmp_path / "wild", {hostile: ["a", hostile], "other": ["c", "d"]}, lambda *_: next(nasty))

    assert shape(wild) == shape(tame)
