"""The doors of the trainer: one trial, or the trials of a shard in stacks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep.training import environment, streams, threads
from hpc_sweep.training.capacity import capacity
from hpc_sweep.training.choice import Choice, alone, newest
from hpc_sweep.training.gpu_errors import BROKEN, gpu_error
from hpc_sweep.training.listener import Ending, Listener
from hpc_sweep.training.member import Member
from hpc_sweep.training.partition import partition, signature
from hpc_sweep.training.race import choose
from hpc_sweep.training.shortage import judged, judged_of_data
from hpc_sweep.training.size import AUTO, checked
from hpc_sweep.training.stack import Stack
from hpc_sweep.training.state import State
from hpc_sweep.trial import StoppedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from omegaconf import DictConfig

    from hpc_sweep.training.task import Data, Task
    from hpc_sweep.trial import Context, Result


@dataclass(frozen=True)
class Stacking:
    """How trials may be stacked, and what was chosen before.

    Parameters
    ----------
    size
        ``auto``: as many as fit, where that is faster; 1: each alone; K: up to K at once, by the fastest engine.
    earlier
        The records of the choices that were published before, in order; they are kept to.
    ids
        The ids of the trials in their plan, by which choices and checkpoints know them; without them they are derived.
    """

    size: int | str = AUTO
    earlier: Sequence[Mapping[str, Any]] = ()
    ids: Sequence[str] = ()

    def __post_init__(self) -> None:
        checked(self.size)


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
    fit_all(task, [(cfg, context)], device, Listener(endings.append), ALONE)
    ending = endings[0]
    if ending.result is None:
        assert ending.error is not None
        raise ending.error
    return ending.result


def fit_all(
    task: Task,
    trials: Sequence[tuple[DictConfig, Context]],
    device: torch.device,
    listener: Listener,
    stacking: Stacking,
) -> None:
    """Train trials, in stacks where that is right and pays; the listener is told of each ending once, as it comes.

    Every trial has the numbers that `fit` would give it, up to rounding where an engine forms sums in another order.
    What goes wrong with a trial ends that trial. A choice of an earlier attempt binds its trials to its engine.
    Raises StoppedError when a context asks for it, with a checkpoint of every trial that was training.
    """
    threads.limit(trials[0][1].threads)
    environment.keep_heap()
    with streams.isolated(device):
        _Trainer(task, device, listener, stacking).train(trials)


class _Trainer:
    """Divides trials into groups, chooses how each trains, and trains one group after the other."""

    def __init__(self, task: Task, device: torch.device, listener: Listener, stacking: Stacking) -> None:
        self._task, self._device, self._listener = task, device, listener
        self._size, self._earlier, self._ids = stacking.size, newest(stacking.earlier), stacking.ids

    def train(self, trials: Sequence[tuple[DictConfig, Context]]) -> None:
        """Train all trials to their ends; StoppedError when a context asks for it."""
        for group in self._groups(self._members(trials)):
            if group[0].context.stop_requested:
                raise StoppedError
            data = self._data(group)
            if data is not None:
                choice = self._choice(group, data)
                Stack(self._task, data, self._device, choice, self._listener).run(group)

    def _members(self, trials: Sequence[tuple[DictConfig, Context]]) -> list[Member]:
        members: list[Member] = []
        for index, (cfg, context) in enumerate(trials):
            try:
                identity = self._ids[index] if self._ids else ""
                members.append(Member.of(self._task, cfg, context, index, identity))
            except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
                self._listener.ended(Ending(index, None, error, 0.0))
        return members

    def _groups(self, members: Sequence[Member]) -> list[list[Member]]:
        """Return the members that train under one choice: as chosen before, and else as they may stack."""
        bound: dict[int, list[Member]] = {}
        for member in members:
            if member.digest in self._earlier:
                bound.setdefault(id(self._earlier[member.digest]), []).append(member)
        free = [member for member in members if member.digest not in self._earlier]
        if self._size == 1 or len(free) == 1:
            return [*bound.values(), *([member] for member in free)]
        signatures: list[str] = []
        sound: list[Member] = []
        for member in free:
            try:
                signatures.append(signature(State.fresh(self._task, member.cfg, self._device).model))
                sound.append(member)
            except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
                self._listener.ended(Ending(member.index, None, judged(member, error), 0.0))
        return [*bound.values(), *partition(self._task, sound, signatures)]

    def _data(self, group: Sequence[Member]) -> Data | None:
        """Return the data that a group shares; without data, all of the group has ended."""
        try:
            return self._task.data(group[0].cfg, self._device)
        except Exception as error:  # noqa: BLE001 because a failing group ends only itself
            for member in group:
                self._listener.ended(Ending(member.index, None, judged_of_data(member, error), 0.0))
            return None

    def _choice(self, group: Sequence[Member], data: Data) -> Choice:
        """Return the earlier choice of a group, or make and publish one; a trial alone needs none."""
        ids = [member.digest for member in group]
        if ids[0] in self._earlier:
            return self._earlier[ids[0]]
        if len(group) == 1:
            return alone(ids, "as asked" if self._size == 1 else "no other trial here differs from it in values only")
        self._listener.together([member.index for member in group])
        try:
            choice = self._decided(group, data)
        except Exception as error:  # what is wrong with a trial is found where that trial trains
            if gpu_error(error) == BROKEN:
                raise
            choice = alone(ids, f"a trial failed while engines were compared: {error}".splitlines()[0])
        choice = replace(choice, members=tuple(ids))
        self._listener.chosen(choice.record())
        return choice

    def _decided(self, group: Sequence[Member], data: Data) -> Choice:
        room = capacity(self._task, group, data, self._device)
        most = room if self._size == AUTO else min(room, int(self._size))
        if most == 1:
            return alone([group[0].digest], "memory has room for one")
        return choose(self._task, group[:most], data, self._device, forced=self._size != AUTO)
