"""The streams of one epoch of a stack, made in a few operations for all steps, members and places that drop."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpc_sweep.training import streams
from hpc_sweep.training.streams import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import Tensor

    from hpc_sweep.training.member import Member

_POSITIVE = (1 << 63) - 1
"""The bits that a seed of torch's generators may have."""


class StepKeys(NamedTuple):
    """What an engine is told before a step: keys (places, K), and where the global generator has to stand.

    Where all members have one key, the keys are one column, expanded: an engine may see that and draw once.
    """

    places: Tensor
    guards: list[int]


def epoch_keys(
    members: Sequence[Member], epochs: Sequence[int], steps: int, places: Sequence[str], device: torch.device
) -> Iterator[StepKeys]:
    """Yield the keys of each step of the epoch, counted from 1, that each member is in."""
    keys = [streams.key(member.cfg.seed, Purpose.DROPOUT, epoch) for member, epoch in zip(members, epochs, strict=True)]
    one = len(set(keys)) == 1
    by_step = streams.steps(keys[:1] if one else keys, steps, device)
    by_place = streams.sites(by_step, places).transpose(1, 2).contiguous()
    guards = (by_step.cpu() & _POSITIVE).expand(-1, len(keys)).tolist()
    yield from (StepKeys(by_place[step].expand(-1, len(keys)), guards[step]) for step in range(steps))
