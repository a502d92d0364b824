"""The optimized configuration as a file."""

from __future__ import annotations

import stat

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.collect import collect
from hpc_sweep.report.winner import optimized_yaml
from tests.builders import build, failed

TRAPS = [
    *(
        "1e-3",
        "1E5",
        "+1e3",
        "1e-05",
        ".5",
        "1.",
        "0x1f",
        "0o17",
        "017",
        "1_000",
        "1:30",
        "12:30:45",
        "-",
        "+1",
        "-.inf",
    ),
    *("no", "No", "yes", "on", "OFF", "y", "n", "true", "null", "~", "", " ", ".nan", ".inf", "inf", "nan", "=", "<<"),
    *("2026-01-02", "2026-01-02T03:04:05Z", "${a.b}", "${oc.env:HOME}", "???", "a: b", "a #b", "# @package x", "- a"),
    *(
        "é ü λ 音 🎻",
        "two\nlines",
        "tab\there",
        "trailing ",
        " leading",
        "'",
        '"',
        "\\",
        "\\n",
        "{a: 1}",
        "[1, 2]",
        "*a",
        "&a",
    ),
    *(
        "!!python/none",
        "%YAML",
        "@at",
        "`tick`",
        "|",
        ">",
        "\x85",
        "\u2028",
        "\x07",
        "\ufeff",
        "x" * 5000,
        "a b " * 400,
    ),
]
NUMBERS = [0, -1, 10**18, 0.0, -0.0, 1.0, 1e-05, 1e-300, 5e-324, 1e16, 1e22, 1.7976931348623157e308, 0.1 + 0.2, -1e-7]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda text: "${" not in text),
)
trees = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda text: "${" not in text),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab1e-.", max_size=4), inner)
    ),
    max_size=4,
)


def read_back(content, tmp_path):
    """Write a configuration as the winner and load it as OmegaConf does."""
    path = tmp_path / "optimized.yaml"
    path.write_text(optimized_yaml(content, ["from a test"]), encoding="utf-8")
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def same(one, other):
    """Compare values and types: 1, 1.0 and True are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@pytest.mark.parametrize("value", [*TRAPS, *NUMBERS, True, False, None, [], {}, [1, "1", 1.0], {"1e-3": {"no": []}}])
def test_value_comes_back_equal_and_of_the_same_type(value, tmp_path):
    """What OmegaConf loads from the file is what the trial had, whatever YAML would like to make of it."""
    content = {"key": value, "list": [value], "nested": {"deeper": value}}

    assert same(content, read_back(content, tmp_path))


@pytest.mark.parametrize("key", [text for text in TRAPS if len(text) < 1000])
def test_key_comes_back_as_text(key, tmp_path):
    """A key that looks like a number or a boolean stays text."""
    assert same({key: 1}, read_back({key: 1}, tmp_path))


@settings(max_examples=100, deadline=None)
@given(trees)
def test_any_tree_comes_back(tmp_path_factory, content):
    """Any JSON object of a configuration survives the file."""
    assert same(content, read_back(content, tmp_path_factory.mktemp("yaml")))


def test_shared_parts_are_written_out(tmp_path):
    """Two equal parts are written twice, not as an alias."""
    part = {"a": [1]}

    assert "*" not in optimized_yaml({"x": part, "y": part}, [])
    assert same({"x": part, "y": part}, read_back({"x": part, "y": part}, tmp_path))


def test_comment_cannot_break_out(tmp_path):
    """Provenance stays a comment, whatever line breaks a name brings."""
    path = tmp_path / "optimized.yaml"
    path.write_text(optimized_yaml({"a": 1}, ["x\nb: 2", "y\u2028c: 3", "z\x85d: 4"]), encoding="utf-8")

    assert OmegaConf.to_container(OmegaConf.load(path)) == {"a": 1}


def test_hydra_composes_to_the_winning_configuration(tmp_path):
    """As a member of the group `winner` the file composes to the whole configuration of the winning trial."""

    def config(params, seed):
        return {"model": {"name": "cnn", **params}, "text": "1e-3", "same": "${model.name}", "epochs": 15, "seed": seed}

    sweep = build(
        tmp_path / "s",
        {"lr": [1e-5, 0.5]},
        lambda p, r: 0.6 + (p["lr"] < 1e-3) + r / 100,
        replicates=(3, 4),
        compose=config,
    )
    collect(sweep)
    conf = tmp_path / "conf"
    (conf / "winner").mkdir(parents=True)
    (conf / "config.yaml").write_text(
        "defaults: [_self_, winner: none]\nmodel: {name: cnn, lr: 1.0}\ntext: other\nsame: x\nepochs: 1\nseed: 0\n"
    )
    (conf / "winner" / "none.yaml").write_text("# @package _global_\n{}\n")

    with initialize_config_dir(str(conf), version_base=None):
        composed = compose("config", overrides=[f"hydra.searchpath=[file://{sweep.decision}]", "winner=optimized"])

    assert OmegaConf.to_container(composed, resolve=False) == config({"lr": 1e-5}, 3)


def test_replicate_is_that_of_the_first_trial_of_the_winner(tmp_path):
    """Of the winner's replicates the first that counts gives its whole configuration."""
    sweep = build(
        tmp_path / "s", {"lr": [1, 2]}, lambda p, r: failed() if r == 5 else p["lr"] / 10, replicates=(5, 6, 7)
    )
    decision = collect(sweep)

    written = OmegaConf.to_container(OmegaConf.load(sweep.optimized))
    plan = read_ledger(sweep).plan
    first = next(trial for trial in plan.trials if trial.number == decision.winner.trials[0])

    assert written == plan.part_of(first).configuration(first)
    assert (written["lr"], written["seed"]) == (2, 6)


def test_file_names_its_origin_and_is_private(tmp_path):
    """The first line is the package, the next ones say sweep, run, score and verdict."""
    sweep = build(tmp_path / "s", {"lr": [1, 2]}, lambda p, _: p["lr"] / 10)
    collect(sweep)

    package, *comments = sweep.optimized.read_text().splitlines()[:4]

    assert package == "# @package _global_"
    assert "Run 2" in comments[0]
    assert "val/accuracy = 0.2" in comments[1]
    assert "cannot_tell" in comments[2]
    assert stat.S_IMODE(sweep.optimized.stat().st_mode) == 0o600
    assert stat.S_IMODE(sweep.decision.stat().st_mode) == 0o700
