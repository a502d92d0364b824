"""What the numbers of a configuration may be: the same at submit as in training."""

from __future__ import annotations

import math

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from hpc_sweep import tasks
from hpc_sweep.compose import here  # noqa: F401 because it registers the resolver of the shipped conf/
from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.model import build
from hpc_sweep.training import optimizers
from hpc_sweep.training.bounds import Range
from tests.conftest import ROOT


def configuration(*overrides):
    """Compose the shipped configuration."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=["experiment=task11", *overrides])


def make(cfg):
    """Make model and optimizer as a worker does."""
    build(cfg.model, 32, 11)
    optimizers.build(dict(nn.Linear(2, 2).named_parameters()), cfg.optimizer)


@pytest.mark.parametrize(
    "typed",
    [
        *("model.dropout=1.0", "model.dropout=-0.1", "model.dropout=nan", "model.dropout=null"),
        *("optimizer.lr=0", "optimizer.lr=inf", "optimizer.lr=nan", "optimizer.lr=-1", "optimizer.lr=null"),
        *("optimizer.l2=-1", "optimizer.l2=inf", "optimizer.clip_norm=0", "optimizer.clip_norm=nan"),
    ],
)
def test_what_training_refuses_is_refused_at_submit_in_the_same_words(typed):
    """Before anything is queued; whoever meets either sentence reads the key, its value and what to type."""
    cfg = configuration(typed)

    with pytest.raises(UserError) as submit:
        tasks.check(cfg)
    with pytest.raises(UserError) as training:
        make(cfg)

    assert str(submit.value) == str(training.value)
    assert str(submit.value).startswith(f"{typed.partition('=')[0]}=")
    assert submit.value.next_step.startswith(f"Type for example {typed.partition('=')[0]}=")


@pytest.mark.parametrize(
    "typed",
    [
        *("optimizer.clip_norm=inf", "optimizer.clip_norm=null", "optimizer.clip_norm=0.1", "optimizer.l2=0"),
        *("model.dropout=0", "model.dropout=0.999", "optimizer.lr=1e-9"),
    ],
)
def test_what_can_be_meant_passes_both(typed):
    """Zero where it is off, and infinity where that is: of the length of a gradient."""
    cfg = configuration(typed)

    tasks.check(cfg)
    make(cfg)


@pytest.mark.parametrize(
    "typed",
    ["epochs=0", "epochs=1.5", "batch_size=true", "label_smoothing=2", "mixup=-1", "mixup=inf", "epochs='3'"],
)
def test_other_numbers_that_cannot_be_meant_are_refused_at_submit(typed):
    """A count is whole, a part is one, and a text is no number."""
    with pytest.raises(UserError, match=typed.partition("=")[0]):
        tasks.check(configuration(typed))


def test_a_range_tells_its_bounds():
    """Open or closed, finite or not, whole or not."""
    told = {
        str(Range(0, above=True)): "a finite number above 0",
        str(Range(0, 1, below=True)): "a number of at least 0 and below 1",
        str(Range(0, 1)): "a number of at least 0 and at most 1",
        str(Range(1, whole=True)): "a whole number of at least 1",
        str(Range(0, above=True, infinite=True, optional=True)): "a number above 0, or null",
    }

    assert list(told) == list(told.values())
    assert Range(0, above=True).holds(10**400)
    assert not Range(0).holds(math.inf)
    assert not Range(0).holds(OmegaConf.create({}))
