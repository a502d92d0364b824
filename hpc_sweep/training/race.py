"""Which engine trains a stack, and how many trials at once: probed, timed, and decided."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from hpc_sweep.training.choice import Choice
from hpc_sweep.training.engines.available import ENGINES
from hpc_sweep.training.engines.base import Crew
from hpc_sweep.training.engines.names import GROUPED, SEQUENTIAL
from hpc_sweep.training.feed import Feed
from hpc_sweep.training.keys import epoch_keys
from hpc_sweep.training.probe import probe
from hpc_sweep.training.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpc_sweep.training.member import Member
    from hpc_sweep.training.task import Data, Task

BUDGET = 2.0
"""The seconds that timing may take."""

_FEW = 4
"""Timing begins with so many trials: an engine that is far behind there is not timed with all."""
_BEHIND = 0.9
_PROMISING = 1.1
"""On a CPU an engine that gains less than this with a few trials never gained anything with all of them."""
_MARGIN = 1.05
"""By so much another engine must beat sequential: less is noise, and sequential is the reference."""
_ROUNDS = 4
_LONG_ENOUGH, _MOST = 0.005, 20
"""Short steps are timed so many seconds in a row, or so many of them."""


def choose(task: Task, members: Sequence[Member], data: Data, device: torch.device, *, forced: bool) -> Choice:
    """Probe and time the engines for a group of trials; ``forced`` means that a stack was asked for by its size.

    Nothing of this touches the trials themselves: the steps that are timed are those of copies.
    """
    ids = tuple(member.digest for member in members)
    race = _Race(task, members, data, device)
    seen = 0.0 if forced or device.type != "cpu" else race.glance()
    if 0 < seen < _PROMISING:
        few = min(_FEW, len(members))
        why = (
            f"a core is busy with one trial already: with {few} of them, grouped is {seen} times as fast as sequential"
        )
        return Choice(SEQUENTIAL, 1, ids, 1.0, why, {GROUPED: seen})
    verdict = probe(task, members, data, device)
    others = [name for name in verdict.right if name != SEQUENTIAL]
    if not others:
        return Choice(SEQUENTIAL, 1, ids, None, _reasons(verdict.wrong))
    ratios = race.run(others)
    wrong = {**verdict.wrong, **race.failed}
    best = max(ratios, key=lambda name: ratios[name], default=SEQUENTIAL)
    if best == SEQUENTIAL or (ratios[best] < _MARGIN and not forced):
        why = f"no engine is {_MARGIN} times as fast as one trial after the other; {_listed(ratios, wrong)}"
        return Choice(SEQUENTIAL, 1, ids, 1.0, why, ratios)
    why = f"the fastest of those that are right; {_listed(ratios, wrong)}"
    return Choice(best, len(members), ids, ratios[best], why, ratios)


class _Race:
    """Times single steps of several engines, in turn, on copies of the trials."""

    def __init__(self, task: Task, members: Sequence[Member], data: Data, device: torch.device) -> None:
        self._task, self._members, self._data, self._device = task, members, data, device
        self._left = BUDGET
        self.failed: dict[str, str] = {}

    def run(self, names: Sequence[str]) -> dict[str, float]:
        """Return how many times as fast as sequential each engine is, of those worth timing with all trials."""
        few = min(_FEW, len(self._members))
        ratios = self._compare(names, self._members[:few])
        if few == len(self._members):
            return ratios
        promising = [name for name in names if ratios.get(name, 0.0) >= _BEHIND]
        ratios |= self._compare(promising, self._members) if promising else {}
        return {name: ratio for name, ratio in ratios.items() if name not in self.failed}

    def glance(self) -> float:
        """Return how grouped fares with few trials, 0 where it cannot; on a CPU vmap was never seen ahead of it.

        It is not asked yet whether grouped is right, which takes longer than to see that it would not pay.
        """
        few = self._members[: min(_FEW, len(self._members))]
        ratio = self._compare([GROUPED], few, rounds=1).get(GROUPED, 0.0)
        self.failed.clear()
        return ratio

    def _compare(self, names: Sequence[str], members: Sequence[Member], rounds: int = _ROUNDS) -> dict[str, float]:
        # Sequential costs K times what one trial does; timing all of it would only take longer.
        runners = {SEQUENTIAL: self._runner(SEQUENTIAL, members[:1])}
        for name in names:
            try:
                runners[name] = self._runner(name, members)
                runners[name]()
            except Exception as error:  # noqa: BLE001 because an engine that cannot take the step is out of the race
                runners.pop(name, None)
                self.failed[name] = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:120]
        runners[SEQUENTIAL]()
        times = {name: [self._seconds(runner, 1)] for name, runner in runners.items()}
        repeats = {name: max(1, min(_MOST, int(_LONG_ENOUGH / max(first, 1e-6)))) for name, (first,) in times.items()}
        for turn in range(rounds):
            if turn and self._left <= 0:
                break
            for name, runner in runners.items():
                times[name].append(self._seconds(runner, repeats[name]))
        # What disturbs a measurement only makes it longer, so the shortest is the nearest.
        reference = min(times[SEQUENTIAL]) * len(members)
        return {name: round(reference / min(times[name]), 3) for name in runners if name != SEQUENTIAL}

    def _seconds(self, runner: Callable[[], object], repeats: int) -> float:
        """Return the seconds of one call, of so many in a row."""
        begun = _clock(self._device)
        for _ in range(repeats):
            runner()
        spent = _clock(self._device) - begun
        self._left -= spent
        return spent / repeats

    def _runner(self, name: str, members: Sequence[Member]) -> Callable[[], object]:
        states = [State.fresh(self._task, member.cfg, self._device) for member in members]
        crew = Crew(self._task, members, states, self._data, self._device)
        engine = ENGINES[name](crew)
        batch = next(iter(Feed(self._task, members, self._data.train, self._device).epoch([1] * len(members))))
        key = next(iter(epoch_keys(members, [1] * len(members), 1, crew.places(), self._device)))
        engine.begin()
        for _ in range(4 if self._device.type == "cuda" else 0):
            engine.step(batch, *key)
        return lambda: engine.step(batch, *key)


def _clock(device: torch.device) -> float:
    """Return seconds: of this process's own work on a CPU that others use too, of the wall on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def _reasons(wrong: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in wrong.items())


def _listed(ratios: Mapping[str, float], wrong: Mapping[str, str]) -> str:
    timed = ", ".join(f"{name} {ratio}" for name, ratio in ratios.items())
    return "; ".join(part for part in (timed, _reasons(wrong)) if part)
