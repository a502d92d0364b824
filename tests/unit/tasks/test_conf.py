"""The shipped configurations compose, and mean what they say."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

CONF = Path(__file__).parents[3] / "conf"
MEMBERS = [
    (group, path.stem)
    for group in ("model", "optimizer", "schedule", "augment", "winner", "experiment", "data")
    for path in sorted((CONF / group).glob("*.yaml"))
]


def composed(*overrides, hydra=False):
    """Return the configuration of a call."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=hydra)


@pytest.mark.parametrize(("group", "member"), MEMBERS)
def test_every_member_composes_and_says_its_command(group, member):
    """Each file of each group can be chosen; its first lines show how."""
    text = (CONF / group / f"{member}.yaml").read_text()
    comments = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())

    assert composed(f"{group}={member}").task == "instruments"
    assert (
        any(line.startswith("# python jobs/train.py") and f"{group}=" in line for line in comments) or group == "model"
    )


def test_task11_is_the_grid_of_the_source_in_its_order():
    """Dropout, learning rate, L2 in this product order: runs 1, 8, 14, 16 and 18 are those of the source."""
    params = composed("experiment=task11", hydra=True).hydra.sweeper.params
    grid = [tuple(map(float, values)) for values in itertools.product(*(text.split(",") for text in params.values()))]

    assert list(params) == ["model.dropout", "optimizer.lr", "optimizer.l2"]
    assert len(grid) == 18
    assert grid[0] == (0.3, 0.001, 0.001)
    assert grid[7] == (0.4, 0.001, 0.0001)
    assert grid[17] == (0.5, 0.0001, 0.0001)


def test_task11_is_judged_at_the_last_of_15_epochs():
    """The experiment says by itself what it trains and how it is judged."""
    cfg = composed("experiment=task11")

    assert cfg.epochs == 15
    asked = {name: value for name, value in cfg.objective.items() if value}
    assert asked == {"metric": "val/accuracy", "mode": "max", "at": "last", "replicate": "seed"}


def test_without_a_winner_nothing_is_added():
    """The empty members of a group leave no key behind."""
    assert not {"winner", "experiment"} & set(composed())
