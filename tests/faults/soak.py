"""The chaos soak: sweeps of tiny trials under a seeded nemesis, until it has done so many faults; judged by a calm one.

A sweep must end by itself. What a person does in a soak is counted: the remedy that `status` prints for a held task,
and `resume` for a sweep that nobody goes on with, because Slurm forgot its jobs.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from tests.faults.drill import OPEN
from tests.faults.nemesis import Nemesis, Scene

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.faults.drill import Drill

LOOK_SECONDS = 1.0
COLLECT_SECONDS = 8.0
HELP_SECONDS = 12.0
"""After so long with an empty queue a person looks; an answer of Slurm's that `status` remembers is older by then."""

SWEEP_SECONDS = 900.0
SPARE = 4
"""How many faults more are done, because an order to a trial that was faster is none."""

PER_SWEEP = 80
"""After so many faults a sweep is left in peace, so that it can end."""

SETTINGS = (
    "hydra.launcher.partition=preempt",
    "hydra.launcher.trials_per_shard=20",
    "hydra.launcher.retries=50",
    "hydra.launcher.steward.max_rounds=60",
)


@dataclass
class Toll:
    """What a soak came to; the figures after `kinds` are those of all its sweeps together."""

    seed: int
    kinds: Counter = field(default_factory=Counter)
    sweeps: int = 0
    trials: int = 0
    seconds: float = 0.0
    attempts: int = 0
    superseded: int = 0
    epochs: int = 0
    collected: int = 0
    released: int = 0
    resumed: int = 0
    lost: int = 0
    replaced: int = 0
    twice: int = 0
    differing: int = 0

    @property
    def faults(self) -> int:
        """How many faults were done."""
        return sum(self.kinds.values())

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, replaced, published twice, or decided otherwise than calmly."""
        return not (self.lost or self.replaced or self.twice or self.differing)

    def as_json(self) -> dict:
        """Return the figures as they are printed."""
        return {"faults": self.faults, **asdict(self), "kinds": dict(sorted(self.kinds.items())), "clean": self.clean}


def soak(cluster, folder: Path, calm: Drill, *, grid, seed, faults, period=2.5, settings=(), kinds=None) -> Toll:  # noqa: PLR0913
    """Sweep the grid of the calm sweep's app under faults until there were so many; return what it came to."""
    toll = Toll(seed)
    begun = time.monotonic()
    while toll.faults < faults:
        cluster.verb("up")
        toll.sweeps += 1
        drill = replace(calm, cluster=cluster, root=folder / f"sweep-{toll.sweeps}")
        nemesis = Nemesis(Scene(drill), seed + toll.sweeps - 1, folder / f"nemesis-{toll.sweeps}.jsonl", kinds)
        wanted = min(faults - toll.faults + SPARE, PER_SWEEP)
        one = _Sweep(drill, nemesis, toll, wanted, period)
        drill.submit(*SETTINGS, *settings, grid=grid)
        one.run()
        one.judge(calm)
    toll.seconds = round(time.monotonic() - begun, 1)
    return toll


class _Sweep:
    """One sweep of a soak, from its submission to its judgement."""

    def __init__(self, drill: Drill, nemesis: Nemesis, toll: Toll, wanted: int, period: float) -> None:
        self.drill, self.nemesis, self.toll, self.wanted, self.period = drill, nemesis, toll, wanted, period
        self.seen: dict[str, str] = {}
        self.empty: float | None = None
        self.collector: subprocess.Popen[bytes] | None = None
        self.deadline = time.monotonic() + SWEEP_SECONDS

    def run(self) -> None:
        """Strike, watch and collect until the sweep is over."""
        strike = time.monotonic() + self.period
        look = collect = 0.0
        chance = random.Random(self.nemesis.seed)
        while True:
            now = time.monotonic()
            assert now < self.deadline, f"the sweep does not end: {self.drill.verb('status').stdout}"
            for words in self.nemesis.scene.pay():
                self.nemesis.note("", "mended", words)
            if len(self.nemesis.done) < self.wanted and now >= strike:
                strike = now + (self.period * chance.uniform(0.5, 1.5) if self.nemesis.strike() else 0.2)
            if now >= collect and (self.collector is None or self.collector.poll() is not None):
                self.collector, collect = self.drill.start_verb("collect"), now + COLLECT_SECONDS
                self.toll.collected += 1
            if now >= look:
                look = now + LOOK_SECONDS
                self.watch()
                if self.is_through():
                    return
            time.sleep(0.05)  # the pace of the loop

    def watch(self) -> None:
        """Compare every published entry with what it was when it was first seen."""
        for path in self.drill.root.glob("shards/*/[0-9]*.json"):
            sha = hashlib.sha256(path.read_bytes()).hexdigest()
            if self.seen.setdefault(str(path), sha) != sha:
                self.toll.replaced += 1
        self.toll.replaced += sum(not self.drill.root.joinpath(path).exists() for path in self.seen)

    def is_through(self) -> bool:
        """Tell whether the sweep has ended; help as a person would, and count it."""
        if not self.drill.is_over() or self.nemesis.scene.debts:
            self.empty = None
            self.release()
            return False
        self.empty = self.empty or time.monotonic()
        counts = self.drill.status()["counts"]
        if not sum(counts[name] for name in OPEN):
            return True
        if time.monotonic() - self.empty > HELP_SECONDS:
            self.drill.verb("resume")
            self.nemesis.note("", "helped", f"typed resume: {counts}")
            self.toll.resumed += 1
        return False

    def release(self) -> None:
        """Do what `status` says of held tasks, unless the nemesis holds them on purpose for a while."""
        if self.drill.held() and not self.nemesis.scene.owes("release"):
            released = self.drill.remedy(self.drill.status())
            self.nemesis.note("", "helped", f"released {released} held tasks as status says")
            self.toll.released += released

    def judge(self, calm: Drill) -> None:
        """Compare the sweep with the calm one, and add it to the toll."""
        drill, toll = self.drill, self.toll
        if self.collector is not None:
            self.collector.wait(120)
        drill.verb("collect")
        unfulfilled = len(list(drill.orders.iterdir()))
        self.nemesis.done = _without(self.nemesis.done, "misbehave", unfulfilled)
        toll.kinds.update(self.nemesis.done)
        table, wanted, published = drill.table(), calm.table(), drill.published()
        toll.trials += len(wanted)
        toll.lost += sum(row["id"] not in published for row in wanted)
        toll.twice += sum(number > 1 for number in published.values())
        toll.differing += sum(one != other for one, other in zip(table, wanted, strict=True))
        toll.differing += drill.decision() != calm.decision()
        notes = drill.progress()
        toll.attempts += len(drill.claims())
        toll.superseded += sum(line["event"] == "superseded" for line in notes)
        toll.epochs += sum(line["event"] == "progress" for line in notes)


def _without(done, kind, number):
    """Return a list without the last few of a kind."""
    kept = []
    for one in reversed(done):
        if one == kind and number:
            number -= 1
        else:
            kept.append(one)
    return kept[::-1]


def printed(toll: Toll) -> str:
    """Return the figures of a soak as text."""
    return json.dumps(toll.as_json(), indent=1)
