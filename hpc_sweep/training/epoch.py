"""One epoch of a stack: its steps, and what is measured of each member.

What is measured:

- ``train/...`` are means over the items of an epoch *as they were trained on*: augmented, with dropout, by weights
  that change from batch to batch. They lag behind, and are not what the final weights would score.
- ``val/...`` are measured after each epoch, by the weights that it ended with, on all validation items.
- ``train/cross_entropy`` and ``val/cross_entropy`` have neither penalty nor class weights, so they compare across
  trials; ``train/penalty`` is what L2 adds for the weights that the epoch ended with, and ``train/loss`` is the mean of
  the task's loss and that: the whole of what training descends.

With mixup, ``train/...`` judge outputs for mixed inputs by the label of the larger part.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from hpc_sweep.training.descent import penalty
from hpc_sweep.training.feed import Feed, judged
from hpc_sweep.training.keys import epoch_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from hpc_sweep.training.engines.base import Crew, Engine, Step
    from hpc_sweep.training.feed import Batch
    from hpc_sweep.training.task import Tally, Task

_AT_ONCE = 1 << 20
"""So many numbers of one member's outputs are collected before they are counted, whatever K is."""


class Measured(NamedTuple):
    """What one epoch measured of one member: metrics by split and name, the details of the validation items.

    ``first`` is the loss of the first step, before any weight has moved in the epoch.
    """

    metrics: dict[str, float]
    details: dict[str, Any]
    first: float


class _Counter:
    """Collects the outputs of one member and counts them in few calls."""

    def __init__(self, task: Task, crew: Crew, member: int) -> None:
        self._task, self._cfg = task, crew.members[member].cfg
        self._outs: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._tallies: list[Tally] = []

    def take(self, out: Tensor, y: Tensor) -> None:
        """Take the outputs (B, ...) and labels of one batch."""
        self._outs.append(out)
        self._labels.append(y)
        if sum(map(torch.numel, self._outs)) >= _AT_ONCE:
            self._count()

    def tally(self) -> Tally:
        """Return the tally of everything that was taken."""
        self._count()
        return reduce(add, self._tallies)

    def _count(self) -> None:
        if self._outs:
            self._tallies.append(self._task.tally(torch.cat(self._outs), torch.cat(self._labels), self._cfg))
            self._outs, self._labels = [], []


def run(crew: Crew, engine: Engine) -> list[Measured]:
    """Train every member for one epoch and judge it; return what was measured of each."""
    steps, trained = _train(crew, engine)
    validated = _judge(crew, engine)
    by_step = torch.stack([step.loss for step in steps]).double()
    losses, firsts = by_step.mean(0).tolist(), by_step[0].tolist()
    return [
        Measured(
            _losses(crew, k, loss)
            | _prefixed("train", trained[k].tally().metrics())
            | _prefixed("val", (tally := validated[k].tally()).metrics() | tally.by_class(crew.data.classes)),
            _prefixed("val", tally.details()),
            firsts[k],
        )
        for k, loss in enumerate(losses)
    ]


def _train(crew: Crew, engine: Engine) -> tuple[list[Step], list[_Counter]]:
    """Take the steps of one epoch; nothing waits for the device."""
    feed = Feed(crew.task, crew.members, crew.data.train, crew.device)
    epochs = [state.epoch + 1 for state in crew.states]
    keys = epoch_keys(crew.members, epochs, feed.steps(), crew.places(), crew.device)
    counters = [_Counter(crew.task, crew, k) for k in range(len(crew.members))]
    engine.begin()
    steps = []
    for batch, (places, guards) in zip(feed.epoch(epochs), keys, strict=True):
        step = engine.step(batch, places, guards)
        for k, counter in enumerate(counters):
            counter.take(step.out[k], _main_labels(batch, k))
        steps.append(step._replace(out=()))
    return steps, counters


@torch.no_grad()
def _judge(crew: Crew, engine: Engine) -> list[_Counter]:
    counters = [_Counter(crew.task, crew, k) for k in range(len(crew.members))]
    labels = torch.split(crew.data.val.y, crew.members[0].cfg.batch_size)
    for batch, y in zip(judged(crew.task, crew.members, crew.data.val, crew.device), labels, strict=True):
        for counter, out in zip(counters, engine.judge(batch), strict=True):
            counter.take(out, y.to(crew.device))
    return counters


def _main_labels(batch: Batch, member: int) -> Tensor:
    source = batch.sources[member]
    if batch.kept is None or batch.other is None or float(batch.kept[source]) >= 0.5:  # noqa: PLR2004 because it is the larger part
        return batch.y[source]
    return batch.other[source]


def _losses(crew: Crew, k: int, loss: float) -> dict[str, float]:
    l2 = crew.members[k].recipe.l2
    if not l2:
        return {"train/loss": loss}
    added = penalty(crew.states[k].params.values(), l2).item()
    return {"train/loss": loss + added, "train/penalty": added}


def _prefixed(split: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{split}/{name}": value for name, value in values.items()}
