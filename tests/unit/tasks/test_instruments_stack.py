"""The instruments in stacks: task11's trials have the results that they have one by one."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hpc_sweep import tasks
from hpc_sweep.tasks.instruments.task import Instruments
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
        lambda ending: endings.setdefault(ending.index, ending),
        stack_size=stack_size,
        earlier=[{"engine": engine, "size": len(configs), "members": digests}] if engine else (),
        publish=choices.append,
    )
    for ending in endings.values():
        if ending.error is not None:
            raise ending.error
    return [endings[index].result for index in range(len(configs))], choices


def ranking(results):
    """Return the trials from the best to the worst: by accuracy, ties by cross-entropy."""
    keys = [(-result.metrics["val/accuracy"], result.metrics["val/cross_entropy"]) for result in results]
    return sorted(range(len(keys)), key=keys.__getitem__)
