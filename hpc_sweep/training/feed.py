"""What the members of a stack see, step by step: equal batches are made once.

``K`` members draw from ``U`` sources. Members share a source when seed, epoch, the configuration of their inputs and
mixup agree; so the trials of a grid over learning rates and dropouts, which have one seed, share all of it. An epoch
takes whole batches only, from a new order each time; the items left over wait for the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from hpc_sweep.training import mixup, streams
from hpc_sweep.training.streams import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omegaconf import DictConfig
    from torch import Tensor

    from hpc_sweep.training.member import Member
    from hpc_sweep.training.task import Split, Task


class Batch(NamedTuple):
    """The inputs ``x`` (U, B, ...) and labels ``y`` (U, B, ...), and the source of each of ``K`` members.

    With mixup there are the labels of the partners, ``other`` (U, B, ...), and the share of the own, ``kept`` (U,).
    """

    x: Tensor
    y: Tensor
    sources: tuple[int, ...]
    other: Tensor | None = None
    kept: Tensor | None = None

    @property
    def shared(self) -> bool:
        """Whether all members see the same."""
        return len(self.x) == 1

    def of(self, member: int) -> Batch:
        """Return what one member sees, its x (1, B, ...)."""
        pick = slice(self.sources[member], self.sources[member] + 1)
        other, kept = (None if value is None else value[pick] for value in (self.other, self.kept))
        return Batch(self.x[pick], self.y[pick], (0,), other, kept)


class _Source(NamedTuple):
    """What decides a batch beside its step."""

    seed: int
    epoch: int
    inputs: str
    mixup: float


class Feed:
    """Makes the batches of some members, of the epoch that each is in."""

    def __init__(self, task: Task, members: Sequence[Member], split: Split, device: torch.device) -> None:
        self._task, self._members, self._split, self._device = task, members, split, device
        self.size: int = min(members[0].cfg.batch_size, len(split))

    def epoch(self, epochs: Sequence[int]) -> Iterator[Batch]:
        """Yield the batches of one epoch of each member, counted from 1."""
        keys = [
            _Source(m.cfg.seed, epoch, m.inputs_text, m.recipe.mixup)
            for m, epoch in zip(self._members, epochs, strict=True)
        ]
        configs = {key: member.inputs for key, member in zip(keys, self._members, strict=True)}
        sources = tuple(list(configs).index(key) for key in keys)
        for made in zip(*(self._made(key, inputs) for key, inputs in configs.items()), strict=True):
            x, y, other, kept = (_stacked(values) for values in zip(*made, strict=True))
            assert x is not None
            assert y is not None
            yield Batch(x, y, sources, other, kept)

    def steps(self) -> int:
        """Return how many batches an epoch has."""
        return len(self._split) // self.size

    def _made(
        self, source: _Source, inputs: DictConfig
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
        order = streams.permutation(streams.key(source.seed, Purpose.ORDER, source.epoch), len(self._split))
        place = self._split.x.device
        orders = order[: self.steps() * self.size].view(-1, self.size).to(place)
        augmentation = streams.key(source.seed, Purpose.AUGMENTATION, source.epoch)
        keys = streams.steps([augmentation], len(orders), self._device)[:, 0]
        for step, items in enumerate(orders):
            x = self._task.inputs(self._split.x[items].to(self._device), inputs, keys[step])
            y = self._split.y[items.to(self._split.y.device)].to(self._device)
            if not any(member.recipe.mixup for member in self._members):
                yield x, y, None, None
                continue
            key = streams.key(source.seed, Purpose.MIXUP, source.epoch, step)
            kept, others = mixup.share(key, source.mixup), mixup.partners(key, len(items), self._device)
            yield mixup.mixed(x, others, kept), y, y[others], torch.tensor(kept, dtype=x.dtype, device=self._device)


class Judged(NamedTuple):
    """One batch of validation items as the members see it, ``x`` (U, B, ...), with the source of each."""

    x: Tensor
    sources: tuple[int, ...]


def judged(task: Task, members: Sequence[Member], split: Split, device: torch.device) -> Iterator[Judged]:
    """Yield all items of a split in their order, not augmented."""
    configs = {member.inputs_text: member.inputs for member in members}
    sources = tuple(list(configs).index(member.inputs_text) for member in members)
    size = members[0].cfg.batch_size
    for x in torch.split(split.x, size):
        made = _stacked(tuple(task.inputs(x.to(device), inputs) for inputs in configs.values()))
        assert made is not None
        yield Judged(made, sources)


def _stacked(values: tuple[Tensor | None, ...]) -> Tensor | None:
    tensors = [value for value in values if value is not None]
    if not tensors:
        return None
    # One source is the ordinary case: no copy, and channels stay last where they lay last.
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(tensors)
