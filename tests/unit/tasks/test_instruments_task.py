"""The instruments, from the packaged pictures to a result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hpc_sweep import tasks
from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.task import Instruments
from hpc_sweep.training.losses import balanced_weights
from hpc_sweep.trial import Outcome, Quiet

CONF = Path(__file__).parents[3] / "conf"
CPU = torch.device("cpu")


def config(*overrides):
    """Return the resolved, read-only configuration of a call."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["device=cpu", *overrides])
    OmegaConf.resolve(cfg)
    OmegaConf.set_readonly(cfg, value=True)
    return cfg


def test_a_trial_trains_through_the_registry():
    """One epoch of the shipped configuration gives every metric, and a record of every validation clip."""
    result = tasks.train(config("epochs=1"), Quiet())
    n = result.extras["n"]

    assert (result.outcome, result.epochs) == (Outcome.COMPLETED, 1)
    assert sum(name.startswith("val/recall_") for name in result.metrics) == 11
    assert len(result.extras["val/correct"]) == n["val"] > 60
    assert n["train"] + n["val"] == 450
    assert result.extras["data"] == tasks.fingerprint(config())


def test_the_data_are_loaded_once_for_all_trials_of_a_process():
    """Trials that agree in their data share the tensors; another split has its own."""
    task = Instruments()
    data = task.data(config("optimizer.lr=0.1", "seed=5"), CPU)

    assert task.data(config(), CPU) is data
    assert Instruments().data(config(), CPU) is data
    assert task.data(config("data.split_seed=9"), CPU) is not data


def test_pictures_stay_bytes_on_the_device():
    """One byte a pixel is kept; a batch becomes numbers from -2 to 2."""
    task, cfg = Instruments(), config()
    train = task.data(cfg, CPU).train
    scale = task.inputs(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), cfg)

    assert (train.x.dtype, train.x.shape[1:]) == (torch.uint8, (1, 32, 32))
    assert scale.flatten().tolist() == [-2.0, 2.0]


def test_only_training_inputs_are_augmented():
    """Without a key a batch stays whole; with one, stripes are hidden unless augmentation is off."""
    task, cfg = Instruments(), config()
    x = task.data(cfg, CPU).train.x[:8]
    plain = task.inputs(x, cfg)

    assert torch.equal(plain, task.inputs(x, config("augment=none"), torch.tensor(1)))
    assert not torch.equal(plain, task.inputs(x, cfg, torch.tensor(1)))


def test_class_weights_come_from_the_training_part():
    """Weighting multiplies each item's loss by the balanced weight of its class; off, every item counts the same."""
    task, cfg = Instruments(), config()
    data = task.data(cfg, CPU)
    train = data.train
    out = torch.randn(40, 11, generator=torch.Generator().manual_seed(0))
    y = train.y[:40]
    each = torch.nn.functional.cross_entropy(out, y, reduction="none")
    weights = balanced_weights(train.y, 11)[y]

    torch.testing.assert_close(task.loss(out, y, cfg, data), (weights * each).sum() / weights.sum())
    torch.testing.assert_close(task.loss(out, y, config("class_weighting=false"), data), each.mean())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU, so cuda is no mistake here")
def test_a_gpu_that_is_not_there_ends_the_call_before_it_trains():
    """Asking for cuda on a machine without one is a mistake of the call."""
    with pytest.raises(UserError, match="device=auto"):
        tasks.train(config("device=cuda"), Quiet())
