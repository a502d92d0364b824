"""A grid is counted without composing it."""

import pytest
from omegaconf import OmegaConf

from hpc_sweep.compose import grid
from hpc_sweep.errors import UserError

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def asked(*overrides, params=None, sweeper=BASIC):
    """Return the part of Hydra's configuration that says what is swept."""
    hydra = {"sweeper": {"_target_": sweeper, "params": params}, "overrides": {"task": list(overrides)}}
    return OmegaConf.create({"hydra": hydra})


@pytest.mark.parametrize(
    ("overrides", "trials"),
    [
        (("x=1,2,3", "seed=1,2", "epochs=3"), 6),
        (("x=range(0,10,3)", "y=choice(a,b)"), 8),
        (("x=range(0.0,1.0,0.25)",), 4),
        (("+x=1,2", "y=[1,2]", "z={a:1}"), 2),
        (("x=1,2", "n=${hydra:job.num}"), 2),
        ((), 1),
    ],
)
def test_the_product_of_all_levels_is_counted(overrides, trials):
    """Lists and ranges of the command span the grid; what is one value, or a list that is one value, does not."""
    assert grid.size(asked(*overrides)) == trials


def test_the_command_line_outranks_the_configured_grid():
    """As Hydra has it, a key of ``hydra.sweeper.params`` that is given again has the levels of the command."""
    assert grid.size(asked("x=1,2", params={"x": "1,2,3,4", "y": "1,2,3"})) == 6


def test_a_sweeper_without_a_grid_is_not_counted():
    """What its overrides mean is its own affair."""
    grid.refuse_too_large(asked("x=1,2,3", sweeper="some.OtherSweeper"), 2)
    with pytest.raises(UserError, match="The grid has 3 trials"):
        grid.refuse_too_large(asked("x=1,2,3"), 2)
