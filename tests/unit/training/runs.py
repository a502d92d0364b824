"""Train trials of the zoo by any engine or as a stack, and compare what they leave, number by number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from hpc_sweep.training import epoch
from hpc_sweep.training.choice import Choice
from hpc_sweep.training.engines.available import ENGINES
from hpc_sweep.training.engines.base import Crew
from hpc_sweep.training.listener import Listener
from hpc_sweep.training.loop import Stacking, fit_all
from hpc_sweep.training.member import Member
from hpc_sweep.training.state import State
from hpc_sweep.trial import Quiet
from tests.unit.training.architectures import Zoo

CPU = torch.device("cpu")


def trained(configs, engine, epochs=4, task=None, device=CPU):
    """Return the captured state of each trial after some epochs by one engine, without a stack around it."""
    task = task or Zoo()
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    states = [State.fresh(task, member.cfg, device) for member in members]
    crew = Crew(task, members, states, task.data(configs[0], device), device)
    made = ENGINES[engine](crew)
    for _ in range(epochs):
        for state, measured in zip(states, epoch.run(crew, made), strict=True):
            state.finish_epoch(measured.metrics, measured.details)
    return [state.capture() for state in states]


def distance(first, second):
    """Return the largest difference of any two numbers of two captured states, which must have the same parts."""
    ours, theirs = dict(_numbers(first)), dict(_numbers(second))
    assert ours.keys() == theirs.keys()
    assert len(ours) > 5
    return max((value.double() - theirs[path].double()).abs().max().item() for path, value in ours.items())


def _numbers(value, path=()):
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, (*path, key))
    elif isinstance(value, list | tuple):
        for key, item in enumerate(value):
            yield from _numbers(item, (*path, key))
    elif isinstance(value, float | int):
        yield path, torch.tensor(value)


@dataclass
class Shard:
    """What a shard of trials left: endings by index, records of choices, reports by index."""

    endings: dict[int, Any] = field(default_factory=dict)
    choices: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[int, list[Any]] = field(default_factory=dict)

    def result(self, index):
        """Return the result of a trial; its error, where it has one, is raised."""
        ending = self.endings[index]
        if ending.error is not None:
            raise ending.error
        return ending.result


class Told:
    """The context of one trial of a shard; it may stop the whole process's work after an epoch."""

    threads = 1
    stop_requested = False

    def __init__(self, reports, checkpoint_dir=None, stop_after=None):
        self.reports, self.checkpoint_dir, self.stop_after = reports, checkpoint_dir, stop_after

    def report(self, epoch, metrics):
        """Keep what is told; interrupt, as a person would, in the epoch after the last one to be kept."""
        self.reports.append((epoch, dict(metrics)))
        if self.stop_after is not None and epoch > self.stop_after:
            raise KeyboardInterrupt

    def keep(self, epoch, save):
        """Want a checkpoint of every epoch."""
        del epoch
        save()


def shard(configs, size="auto", *, engine=None, task=None, folder=None, earlier=(), stop_after=None):  # noqa: PLR0913 because each test says what it needs by name
    """Train trials as a shard does; ``engine`` fixes the choice of all of them beforehand, at most ``size`` at once."""
    task, left = task or Zoo(), Shard({}, [], {})
    if engine is not None:
        digests = tuple(Member.of(task, cfg, Quiet()).digest for cfg in configs)
        earlier = [Choice(engine, size, digests).record()]
    trials = []
    for index, cfg in enumerate(configs):
        left.reports[index] = []
        place = None if folder is None else folder / str(index)
        trials.append((cfg, Told(left.reports[index], place, stop_after)))

    def ended(ending):
        assert ending.index not in left.endings, "a trial ended twice"
        left.endings[ending.index] = ending

    listener = Listener(ended, chosen=left.choices.append)
    fit_all(task, trials, CPU, listener, Stacking("auto" if engine else size, earlier))
    return left
