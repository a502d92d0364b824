"""The instruments in stacks: task11's trials have the results that they have one by one."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hpc_sweep import tasks
from hpc_sweep.tasks.instruments.task import Instruments
from hpc_sweep.training.listener import Listener
from hpc_sweep.training.member import Member
from hpc_sweep.trial import Quiet

CONF = Path(__file__).parents[3] / "conf"


def task11(*overrides):
    """Return the resolved configurations of the 18 trials, in the order of the grid."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        first = compose("train", overrides=["experiment=task11", "device=cpu", *overrides])
    OmegaConf.resolve(first)
    made = []
    for dropout, rate, l2 in itertools.product((0.3, 0.4, 0.5), (0.001, 0.0005, 0.0001), (0.001, 0.0001)):
        cfg = copy.deepcopy(first)
        cfg.model.dropout, cfg.optimizer.lr, cfg.optimizer.l2 = dropout, rate, l2
        OmegaConf.set_readonly(cfg, value=True)
        made.append(cfg)
    return made


def trained(configs, engine=None, stack_size="auto"):
    """Return the results of trials, and the choices that were published; an engine may be fixed beforehand."""
    endings, choices = {}, []
    digests = [Member.of(Instruments(), cfg, Quiet()).digest for cfg in configs]
    tasks.train_all(
        [(cfg, Quiet()) for cfg in configs],
        Listener(lambda ending: endings.setdefault(ending.index, ending), chosen=choices.append),
        stack_size=stack_size,
        earlier=[{"engine": engine, "size": len(configs), "members": digests}] if engine else (),
    )
    for ending in endings.values():
        if ending.error is not None:
            raise ending.error
    return [endings[index].result for index in range(len(configs))], choices


def ranking(results):
    """Return the trials from the best to the worst: by accuracy, ties by cross-entropy."""
    keys = [(-result.metrics["val/accuracy"], result.metrics["val/cross_entropy"]) for result in results]
    return sorted(range(len(keys)), key=keys.__getitem__)


@pytest.fixture(scope="module")
def alone():
    """Return the configurations of task11, one epoch each, and their results one by one."""
    configs = task11("epochs=1")
    return configs, trained(configs, stack_size=1)[0]


def test_task11_as_the_trainer_would_stack_it_is_task11_one_by_one(alone):
    """All 18 results and their ranking, in float32, whatever is chosen here for K = 18."""
    configs, one_by_one = alone
    results, (choice,) = trained(configs)

    assert ranking(results) == ranking(one_by_one)
    assert len(choice["members"]) == 18
    assert {result.extras["stack"]["engine"] for result in results} == {choice["engine"]}
    if choice["engine"] == "sequential":
        assert [result.curves for result in results] == [result.curves for result in one_by_one]


def test_task11_as_one_grouped_stack_ranks_as_task11_one_by_one(alone):
    """All 18 at once, in float32: channels that fill a vector are summed in the order of a trial alone."""
    configs, one_by_one = alone
    results, choices = trained(configs, "grouped")

    assert choices == []
    assert ranking(results) == ranking(one_by_one)
    for found, expected in zip(results, one_by_one, strict=True):
        assert found.metrics.keys() == expected.metrics.keys()
        assert found.metrics["val/cross_entropy"] == pytest.approx(expected.metrics["val/cross_entropy"], abs=1e-6)
        assert found.extras["val/correct"] == expected.extras["val/correct"]


def test_every_value_key_can_be_typed():
    """Each key in which trials of a stack may differ is there in the shipped configuration, or of another member."""
    shipped = task11()[0]
    missing = [key for key in Instruments.value_keys if OmegaConf.select(shipped, key, default="absent") == "absent"]

    assert missing == ["optimizer.momentum", "schedule.factor"]


@pytest.mark.parametrize(
    "override",
    [
        "schedule=cosine",
        "optimizer=adamw",
        "mixup=0.4",
        "label_smoothing=0.1",
        "optimizer.clip_norm=1.0",
        "precision=bfloat16",
    ],
)
def test_what_a_recipe_can_say_trains_in_stacks(override):
    """Three trials of each kind, grouped, end with finite metrics."""
    results, _ = trained(task11("epochs=1", "batch_size=64", override)[:3], "grouped")

    assert [result.epochs for result in results] == [1, 1, 1]
    assert len({result.metrics["train/loss"] for result in results}) == 3


def test_trials_that_differ_in_their_device_are_told_apart():
    """Indices stay the caller's, in whichever order trials are grouped."""
    configs = task11("epochs=1")[:2]
    auto = copy.deepcopy(configs[1])
    OmegaConf.set_readonly(auto, value=False)
    auto.device = "auto"
    results, choices = trained([configs[0], auto], stack_size=1)

    assert choices == []
    assert results[1].metrics == trained([configs[1]], stack_size=1)[0][0].metrics
