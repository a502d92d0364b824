"""Trains the trials of one group: members leave as they end, others take their places, none disturbs another."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import torch

from hpc_sweep.training import epoch
from hpc_sweep.training.engines.available import ENGINES
from hpc_sweep.training.engines.base import Crew
from hpc_sweep.training.engines.names import PACKED, SEQUENTIAL
from hpc_sweep.training.gpu_errors import BROKEN, gpu_error
from hpc_sweep.training.lane import Lane
from hpc_sweep.training.listener import Ending
from hpc_sweep.training.shortage import judged, out_of_memory, sentence
from hpc_sweep.trial import Outcome, StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpc_sweep.training.choice import Choice
    from hpc_sweep.training.engines.base import Engine
    from hpc_sweep.training.epoch import Measured
    from hpc_sweep.training.listener import Listener
    from hpc_sweep.training.member import Member
    from hpc_sweep.training.task import Data, Task

COMPACT = 0.75
"""A stack is laid anew when no more than this part of it still trains; a member that ended costs until then."""


class Stack:
    """The trials of one choice, at most ``choice.size`` of them at once."""

    def __init__(self, task: Task, data: Data, device: torch.device, choice: Choice, listener: Listener) -> None:
        self._task, self._data, self._device = task, data, device
        self._choice, self._listener = choice, listener
        self._queue: deque[Member | Lane] = deque()
        self._lanes: list[Lane | None] = []
        self._begun: set[int] = set()
        self._made: tuple[Crew, Engine] | None = None

    def run(self, members: Sequence[Member]) -> None:
        """Train all members to their ends.

        Raises StoppedError when a context asks for it: after the same epoch of all that train, each with a checkpoint.
        An error after which the process cannot use the GPU is raised as it is, unless a trial was alone with it.
        """
        self._queue.extend(members)
        while self._fill():
            try:
                measured, seconds = self._epoch()
            except (Exception, SystemExit) as error:  # noqa: BLE001 because a failing trial ends only itself
                self._give_way(error)
                continue
            self._settle(measured, seconds)

    @property
    def _alive(self) -> list[Lane]:
        return [lane for lane in self._lanes if lane is not None]

    @property
    def _company(self) -> tuple[str, int]:
        """The engine of those that were laid, and how many they were."""
        laid = len(self._lanes)
        return self._choice.engine if laid > 1 else _for_one(self._choice.engine), laid

    def _fill(self) -> bool:
        """Let waiting trials in and lay the stack anew where that pays; return whether anything is left to train."""
        alive = self._alive
        if self._queue and len(alive) < self._choice.size:
            if _member(self._queue[0]).context.stop_requested:
                self._stop(alive)
            self._lay(self._joined(alive))
        elif alive and len(alive) <= COMPACT * len(self._lanes):
            self._lay(alive)
        return bool(self._alive)

    def _joined(self, lanes: list[Lane]) -> list[Lane]:
        """Return these and as many of those that wait as there is room for."""
        self._made = None  # its memory is for those that enter
        while self._queue and len(lanes) < self._choice.size:
            waiting = self._queue.popleft()
            if isinstance(waiting, Lane):
                lanes.append(waiting)
                continue
            self._announce(waiting, lanes)
            try:
                lane = Lane(self._task, waiting, self._data, self._device)
            except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
                lanes = self._turned_away(waiting, lanes, error)
                continue
            if lane.over:  # it had finished, and died before its result was kept
                self._end(lane, Outcome.COMPLETED)
            else:
                lanes.append(lane)
        return lanes

    def _announce(self, member: Member, lanes: Sequence[Lane]) -> None:
        """Tell that a trial is worked on: that it begins, once, and later with whom it does."""
        if member.index in self._begun:
            self._listener.together([*(lane.member.index for lane in lanes), member.index])
        else:
            self._begun.add(member.index)
            self._listener.begun(member.index)

    def _turned_away(self, member: Member, lanes: list[Lane], error: Exception) -> list[Lane]:
        """Let all wait for a smaller stack where memory ran out among others; an error alone has ended the trial.

        Returns those that remain in the stack.
        """
        if lanes and gpu_error(error) == BROKEN:
            raise error
        if lanes and out_of_memory(error):
            self._queue.extendleft([member, *reversed(lanes)])
            self._shrink(len(lanes) + 1, error)
            return []
        self._listener.ended(Ending(member.index, None, judged(member, error), 0.0))
        return lanes

    def _lay(self, lanes: list[Lane]) -> None:
        """Make the engine of exactly these trials."""
        self._lanes = list(lanes)
        self._made = None  # the old one's memory goes first
        self._listener.together([lane.member.index for lane in lanes])

    def _epoch(self) -> tuple[list[Measured], float]:
        begun = time.monotonic()
        if self._made is None:
            self._made = self._engine()
        measured = epoch.run(*self._made)
        return measured, time.monotonic() - begun

    def _engine(self) -> tuple[Crew, Engine]:
        """Return the engine of those that were laid, and what it trains."""
        members, states = [lane.member for lane in self._alive], [lane.state for lane in self._alive]
        crew = Crew(self._task, members, states, self._data, self._device)
        return crew, ENGINES[self._company[0]](crew)

    def _settle(self, measured: list[Measured], seconds: float) -> None:
        """Take in an epoch of every member that still trains; the rows of those that ended stay for a while."""
        share, ends = seconds / len(self._alive), list[tuple[Lane, Outcome]]()
        for k, lane in enumerate(self._lanes):
            if lane is None:
                continue
            lane.seconds, lane.slowest_epoch = lane.seconds + share, max(lane.slowest_epoch, seconds)
            lane.company = max(lane.company or self._company, self._company, key=lambda company: company[1])
            outcome = lane.finish_epoch(measured[k], keep=len(self._lanes) > 1)
            if outcome is not None:
                ends.append((lane, outcome))
        stop = False
        for lane, outcome in ends:  # before anything can go wrong with the others
            stop |= outcome is Outcome.COMPLETED and _asked_to_stop_after(lane)
            self._end(lane, outcome)
        asked = self._save(self._alive)
        if asked or stop:
            self._stop(lane for lane in self._alive if lane not in asked)

    def _save(self, lanes: Iterable[Lane]) -> list[Lane]:
        """Keep a checkpoint of each, where its context wants one; return those that were asked to stop."""
        asked, failed = list[Lane](), list[tuple[Lane, Exception]]()
        for lane in lanes:
            try:
                lane.save()
            except StoppedError:
                asked.append(lane)
            except Exception as error:  # a checkpoint that cannot be kept ends its trial only
                if gpu_error(error) == BROKEN and len(self._alive) > 1:
                    raise
                failed.append((lane, error))
        for lane, reason in failed:  # when the others are safe, for that may end the process
            self._leave(lane, reason)
        return asked

    def _stop(self, unsaved: Iterable[Lane]) -> None:
        """Keep a checkpoint of these too, at the same epoch as the others, and stop."""
        self._save(unsaved)
        raise StoppedError

    def _end(self, lane: Lane, outcome: Outcome) -> None:
        self._forget(lane)
        how = self._choice.how(*(lane.company or (self._choice.engine, self._choice.size)))
        self._listener.ended(Ending(lane.member.index, lane.result(outcome, how), None, lane.seconds))

    def _leave(self, lane: Lane, error: BaseException) -> None:
        self._forget(lane)
        self._listener.ended(Ending(lane.member.index, None, error, lane.seconds))

    def _forget(self, lane: Lane) -> None:
        self._lanes = [None if other is lane else other for other in self._lanes]

    def _give_way(self, error: BaseException) -> None:
        """Go on from the last epoch with fewer at once; what one trial alone raises has ended it."""
        alive, self._made = self._alive, None
        if len(alive) == 1:
            self._leave(alive[0], judged(alive[0].member, error))
            self._lanes = []
            return
        if gpu_error(error) == BROKEN:
            raise error
        self._lanes = []
        self._shrink(len(alive), error)
        for lane in alive:
            lane.rewind()
        self._queue.extendleft(reversed(alive))

    def _shrink(self, together: int, error: BaseException) -> None:
        """Publish that fewer will train at once than those that an error met together."""
        error.__traceback__ = None  # its frames hold the memory that is needed
        size = together // 2 if out_of_memory(error) else 1
        self._choice = self._choice.smaller(size, f"{together} at once failed: {sentence(error)}")
        self._listener.chosen(self._choice.record())
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _member(waiting: Member | Lane) -> Member:
    return waiting.member if isinstance(waiting, Lane) else waiting


def _asked_to_stop_after(finished: Lane) -> bool:
    """Keep the last checkpoint of a trial, as far as that can be done: its result is there, and is none the worse."""
    try:
        finished.save()
    except StoppedError:
        return True
    except Exception:  # noqa: BLE001 because nothing goes on from it unless the process dies now
        return False
    return False


def _for_one(engine: str) -> str:
    """Return the engine that trains what is left when it is one trial."""
    return engine if engine == PACKED else SEQUENTIAL
