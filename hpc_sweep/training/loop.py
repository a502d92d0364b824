"""The doors of the trainer: one trial, or the trials of a shard in stacks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import UserError
from hpc_sweep.training import environment, streams, threads
from hpc_sweep.training.capacity import capacity
from hpc_sweep.training.choice import Choice, alone, choose
from hpc_sweep.training.member import Member
from hpc_sweep.training.partition import partition, signature
from hpc_sweep.training.stack import Ending, Listener, Stack
from hpc_sweep.training.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from omegaconf import DictConfig

    from hpc_sweep.training.task import Data, Task
    from hpc_sweep.trial import Context, Result

AUTO = "auto"


@dataclass(frozen=True)
class Stacking:
    """How trials may be stacked, and what was chosen before.

    Parameters
    ----------
    size
        ``auto``: as many as fit, where that is faster; 1: each alone; K: up to K at once, by the fastest engine.
    earlier
        The records of the choices that earlier attempts published, in order; they are kept to.
    publish
        Takes the record of each choice before the first step of its stack.
    """

    size: int | str = AUTO
    earlier: Sequence[Mapping[str, Any]] = ()
    publish: Callable[[Mapping[str, Any]], None] | None = None

    def told(self, choice: Choice) -> None:
        """Publish a choice, where anybody listens."""
        if self.publish is not None:
            self.publish(choice.record())

    def __post_init__(self) -> None:
        if self.size != AUTO and not (isinstance(self.size, int) and self.size >= 1):
            raise UserError(
                f"A stack cannot have the size {self.size}.",
                where="Key: hydra.launcher.stack_size",
                next_step="Type hydra.launcher.stack_size=auto, 1, or the largest number of trials of a stack",
            )


ALONE = Stacking(1)


def fit(task: Task, cfg: DictConfig, context: Context, device: torch.device) -> Result:
    """Train the trial of a configuration and return how it ended.

    A trial with a loss or metric that is no longer finite ends as ``diverged``: its result has the curves of the
    epochs before and no metrics, for it reached nothing that could be compared. Where the context has a folder for
    checkpoints, the epochs that it wants are kept there and the trial goes on from the newest; it then equals an
    uninterrupted one, on a CPU bit for bit. Raises UserError for what cannot be trained as it was asked, and
    StoppedError after a checkpoint when the context says so.
    """
    endings: list[Ending] = []
    fit_all(task, [(cfg, context)], device, endings.append, ALONE)
    ending = endings[0]
    if ending.result is None:
        assert ending.error is not None
        raise ending.error
    return ending.result


def fit_all(
    task: Task,
    trials: Sequence[tuple[DictConfig, Context]],
    device: torch.device,
    ended: Callable[[Ending], None],
    stacking: Stacking,
) -> None:
    """Train trials, in stacks where that is right and pays; tell of each ending once, as it comes.

    Every trial has the numbers that `fit` would give it, up to rounding where an engine forms sums in another order.
    What goes wrong with a trial ends that trial. A choice of an earlier attempt binds its trials to its engine.
    """
    threads.limit(trials[0][1].threads)
    environment.keep_heap()
    with streams.isolated(device):
        members = _members(task, trials, ended)
        for group in _groups(task, members, device, stacking, ended):
            data = _data(task, group, device, ended)
            if data is None:
                continue
            choice = _choice(task, group, data, device, stacking)
            Stack(task, data, device, choice, Listener(ended, stacking.told)).run(group)


def _members(task: Task, trials: Sequence[tuple[DictConfig, Context]], ended: Callable[[Ending], None]) -> list[Member]:
    members: list[Member] = []
    for index, (cfg, context) in enumerate(trials):
        try:
            members.append(Member.of(task, cfg, context, index))
        except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
            ended(Ending(index, None, error, 0.0))
    return members


def _groups(
    task: Task,
    members: Sequence[Member],
    device: torch.device,
    stacking: Stacking,
    ended: Callable[[Ending], None],
) -> list[list[Member]]:
    """Return the members that train under one choice: as chosen before, and else as they may stack."""
    earlier = _earlier(stacking)
    chosen = [member for member in members if member.digest in earlier]
    bound: dict[int, list[Member]] = {}
    for member in chosen:
        bound.setdefault(id(earlier[member.digest]), []).append(member)
    free = [member for member in members if member.digest not in earlier]
    if stacking.size == 1 or len(free) == 1:
        return [*bound.values(), *([member] for member in free)]
    signatures: list[str] = []
    sound: list[Member] = []
    for member in free:
        try:
            signatures.append(signature(State.fresh(task, member.cfg, device).model))
            sound.append(member)
        except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
            ended(Ending(member.index, None, error, 0.0))
    return [*bound.values(), *partition(task, sound, signatures)]


def _data(task: Task, group: Sequence[Member], device: torch.device, ended: Callable[[Ending], None]) -> Data | None:
    """Return the data that a group shares; without data, all of the group has ended."""
    try:
        return task.data(group[0].cfg, device)
    except Exception as error:  # noqa: BLE001 because a failing group ends only itself
        for member in group:
            ended(Ending(member.index, None, error, 0.0))
        return None


def _choice(task: Task, group: Sequence[Member], data: Data, device: torch.device, stacking: Stacking) -> Choice:
    """Return the earlier choice of a group, or make and publish one; a trial alone needs none."""
    earlier = _earlier(stacking).get(group[0].digest)
    if earlier is not None:
        return earlier
    if len(group) == 1:
        asked = stacking.size == 1
        return alone(group[0], "as asked" if asked else "no other trial here differs from it in values only")
    try:
        choice = _decided(task, group, data, device, stacking)
    except Exception as error:  # noqa: BLE001 because what is wrong with a trial is found where that trial trains
        choice = alone(group[0], f"a trial failed while engines were compared: {error}".splitlines()[0])
    choice = replace(choice, members=tuple(member.digest for member in group))
    stacking.told(choice)
    return choice


def _decided(task: Task, group: Sequence[Member], data: Data, device: torch.device, stacking: Stacking) -> Choice:
    room = capacity(task, group, data, device)
    most = room if stacking.size == AUTO else min(room, int(stacking.size))
    if most == 1:
        return alone(group[0], "memory has room for one")
    return choose(task, group[:most], data, device, forced=stacking.size != AUTO)


def _earlier(stacking: Stacking) -> dict[str, Choice]:
    """Return the newest choice for each trial that was published before."""
    choices = map(Choice.read, stacking.earlier)
    return {member: choice for choice in choices for member in choice.members}
