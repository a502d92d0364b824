"""The pictures: which there are, what they say, and that they are drawn."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from hpc_sweep.analysis.decision import decide_evidence
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.ledger import read_ledger
from hpc_sweep.report import charts
from hpc_sweep.report.confusion import class_names, square
from hpc_sweep.report.drawing import thin
from hpc_sweep.report.scales import axis_kind
from tests.builders import ACCURACY, build, diverged

WITH_METRIC = {charts.LEADERBOARD, charts.BY_HYPERPARAMETER, charts.PAIRWISE, charts.PARALLEL, charts.LEARNING_CURVES}
WITH_METRIC |= {charts.FIT, charts.FRONT, charts.COST}
CURVES = {"val/accuracy": [0.2, 0.5, 0.6], "train/accuracy": [0.3, 0.6, 0.9]}


def drawn(root, grid, ending, **design):
    """Return the pictures of a sweep by their file names."""
    evidence = Evidence.of(read_ledger(build(root / "s", grid, ending, **design)))
    return {picture.name: picture for picture in charts.pictures(evidence, decide_evidence(evidence))}


def full(params, seed):
    """Return a trial that has everything a picture can show."""
    score = 0.6 + params["lr"] + seed / 100
    extras = {"val/confusion": [[3, 1], [0, 4]], "classes": ["cat", "dog"], "n": {"val": 8}}
    metrics = {"val/accuracy": score, "val/loss": 1.0 + params["lr"]}
    seconds = 10.0 + 100 * params["lr"]
    return {"metrics": metrics, "curves": CURVES, "extras": extras, "epochs": 3, "seconds": seconds}


def values(picture):
    """Return every row of data in a picture."""
    return [row for rows in picture.chart.to_dict()["datasets"].values() for row in rows]


def test_full_sweep_has_every_picture_and_each_is_a_png(tmp_path):
    """Every picture is drawn, with the metric's own key in its words, and is valid Vega-Lite."""
    pictures = drawn(tmp_path, {"lr": [0.001, 0.01, 0.1], "opt": ["adam", "sgd"]}, full, replicates=(0, 1))

    assert set(pictures) == set(charts.NAMES)
    for name, picture in pictures.items():
        png = picture.png()
        width, height = struct.unpack(">II", png[16:24])
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert width > 400
        assert height > 100
        assert name not in WITH_METRIC or "val/accuracy" in picture.title
        assert picture.chart.to_dict(validate=True)


def test_same_sweep_gives_the_same_pictures(tmp_path):
    """Two readings of the same records are drawn to the same bytes."""
    first = drawn(tmp_path / "a", {"lr": [0.001, 0.1]}, full)
    second = drawn(tmp_path / "b", {"lr": [0.001, 0.1]}, full)

    assert [picture.png() for picture in first.values()] == [picture.png() for picture in second.values()]


def test_nothing_finished_has_no_picture(tmp_path):
    """Without a score there is nothing to draw, also when a trial diverged."""
    assert drawn(tmp_path, {"lr": [1, 2]}, lambda p, _: diverged() if p["lr"] == 1 else None) == {}


def test_without_a_winner_nobody_is_highlighted(tmp_path):
    """A sweep without a mode is drawn, without a leaderboard and without a pick."""
    pictures = drawn(tmp_path, {"lr": [0.1, 0.2]}, full, objective=replace(ACCURACY, mode=None))

    assert set(pictures) == {charts.BY_HYPERPARAMETER, charts.LEARNING_CURVES, charts.FIT, charts.COVERAGE, charts.COST}
    assert all("orange" not in picture.caption for picture in pictures.values())


def test_single_level_and_no_curves_leave_only_the_leaderboard(tmp_path):
    """A foreign app with one level and one number has a leaderboard."""
    assert set(drawn(tmp_path, {"lr": [0.1]}, lambda *_: 0.5)) == {charts.LEADERBOARD}


def test_captions_count_what_is_shown(tmp_path):
    """Pictures say how many trials they show, which the pick is, and that one replicate has no interval."""
    pictures = drawn(tmp_path, {"lr": [0.1, 0.2, 0.3]}, full)

    assert "each of 3 trials" in pictures[charts.BY_HYPERPARAMETER].caption
    assert "the pick, Run 3." in pictures[charts.BY_HYPERPARAMETER].caption
    assert "Faint: 2 other trials; orange: Run 3." in pictures[charts.LEARNING_CURVES].caption
    assert "interval" not in pictures[charts.LEADERBOARD].caption
    assert "Run 3, last epoch, n = 8 predictions" in pictures[charts.CONFUSION].caption


def test_confusion_matrix_sums_the_winner_s_replicates(tmp_path):
    """Two replicates of eight examples are sixteen predictions, row by row."""
    picture = drawn(tmp_path, {"lr": [0.1]}, full, replicates=(0, 1))[charts.CONFUSION]

    counts = {(row["true"], row["predicted"]): row["count"] for row in values(picture)}
    assert counts == {("cat", "cat"): 6, ("cat", "dog"): 2, ("dog", "cat"): 0, ("dog", "dog"): 8}


@pytest.mark.parametrize(
    ("levels", "kind"),
    [
        ([1e-4, 5e-4, 1e-3], "log"),
        ([1e-4, 1e-3], "log"),
        ([16, 32, 64, 128, 256], "log"),
        ([0.3, 0.4, 0.5], "linear"),
        (list(range(1, 101)), "linear"),
        ([1, 2], "linear"),
        ([0, 1e-5, 1e-3], "ordinal"),
        ([-1, 0, 1], "linear"),
        ([True, False], "nominal"),
        ([1, "auto"], "nominal"),
        ([None, 1], "nominal"),
        ([[1, 2], [3, 4]], "nominal"),
    ],
)
def test_axis_fits_the_levels(levels, kind):
    """Values a decade apart are on a log axis, evenly spaced ones on a linear one, others side by side."""
    assert axis_kind(levels) == kind


HOSTILE = [
    "a.b[0]",
    "x:Q",
    "datum.y",
    "</svg><script>",
    'quo"te',
    "it's",
    "new\nline",
    "",
    "back\\slash",
    "\0",
    "\x1b[31m",
    "\uffff",
    "constructor",
    "toString",
    "{}",
    "é λ",
    "x" * 300,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hyperparameter_may_be_called_anything(tmp_path, name):
    """Names and levels are text in a picture, and never a path into its data."""
    pictures = drawn(tmp_path, {name: ["a", name, 1, "1", None]}, lambda *_: CURVES["val/accuracy"])

    assert {row["x"] for row in values(pictures[charts.BY_HYPERPARAMETER])} >= {"1", '"1"', "null"}
    assert all(picture.png().startswith(b"\x89PNG") for picture in pictures.values())


@pytest.mark.parametrize(
    "garbage", [None, 3, "x", [], [[1]], [[1, 2]], [[1, "a"], [2, 3]], [[1, -1], [2, 3]], [[0, 0], [0, 0]]]
)
def test_extras_may_be_anything(tmp_path, garbage):
    """What is no square matrix of counts is not drawn; one of zeros, or of a single class, is no error."""

    def ending(*_):
        return {"metrics": {"val/accuracy": 0.5}, "extras": {"val/confusion": garbage, "classes": garbage}}

    for picture in drawn(tmp_path, {"lr": [1]}, ending).values():
        picture.png()
    assert (square(garbage) is None) == (garbage not in ([[1]], [[0, 0], [0, 0]]))


def test_classes_without_usable_names_are_numbered():
    """Too few names, or the same name twice, are no names."""
    assert class_names(["a", "b"], 2) == ["a", "b"]
    assert class_names(["a", "a"], 2) == ["0", "1"]
    assert class_names(["a"], 2) == ["0", "1"]
    assert class_names("ab", 2) == ["0", "1"]


def test_many_trials_are_thinned_evenly():
    """Of a thousand lines a hundred are kept, the first one among them."""
    kept = thin(range(1000), 100)

    assert (len(kept), kept[0], kept[1], kept[-1]) == (100, 0, 10, 990)


@pytest.mark.parametrize("score", [0.5, -3.0, 0.0, 1e-12, 1e300, 7])
def test_equal_scores_have_an_axis(tmp_path, score):
    """A sweep in which every score is the same can be drawn."""
    for picture in drawn(tmp_path, {"lr": [0.1, 0.2]}, lambda *_: score).values():
        assert picture.png().startswith(b"\x89PNG")
