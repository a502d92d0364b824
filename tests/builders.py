"""Build real sweeps on disk, with whatever ending each trial is told to have."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpc_sweep import paths, records
from hpc_sweep.ledger import Identity, write_identity
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, differences, partition
from hpc_sweep.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

SWEEP = "0123456789abcdef"
ACCURACY = Objective(metric="val/accuracy", mode="max", at="last", replicate="seed")


def configuration(params: Mapping[str, Any], replicate: Any = None) -> dict[str, Any]:
    """Return a task configuration that holds the swept values beside a few fixed ones."""
    return {"model": {"name": "cnn_small"}, "epochs": 15, **params, "seed": replicate}


def ended(ending: float | list[float] | Mapping[str, Any], metric: str = ACCURACY.metric) -> dict[str, Any]:
    """Return the fields of a result: from a score, from a curve of the metric, or from the fields that differ."""
    fields = dict(ending) if isinstance(ending, dict) else {}
    curve = ending if isinstance(ending, list) else None
    curves = {metric: curve} if curve else {}
    score = curve[-1] if curve else ending
    return {
        "outcome": "completed",
        "metrics": {} if fields else {metric: score},
        "curves": curves,
        "extras": {},
        "epochs": len(curve) if curve else 1,
        "device": "cpu",
        "note": "",
        "value": None,
        "seconds": 1.5,
        "threads": 1,
        "attempt": "",
        "host": "node1",
        "error": None,
        **fields,
    }


def failed(reason: str = "exception", text: str = "RuntimeError: no") -> dict[str, Any]:
    """Return the ending of a trial that failed."""
    return {"outcome": None, "metrics": {}, "epochs": 0, "error": {"reason": reason, "text": text}}


def diverged(note: str = "loss became non-finite at epoch 2") -> dict[str, Any]:
    """Return the ending of a trial that diverged."""
    return {"outcome": "diverged", "metrics": {}, "epochs": 2, "note": note}


@dataclass(frozen=True)
class Design:
    """What to plan: the product of the levels, each with every replicate, in product order."""

    grid: Mapping[str, Sequence[Any]]
    replicates: Sequence[Any] = (0,)
    objective: Objective = ACCURACY
    shards: int = 2
    compose: Callable[[Mapping[str, Any], Any], dict[str, Any]] = field(default=configuration)

    def cells(self) -> list[tuple[dict[str, Any], Any]]:
        """Return the parameters and the replicate of every trial."""
        products = itertools.product(*self.grid.values())
        return [(dict(zip(self.grid, values, strict=True)), r) for values in products for r in self.replicates]

    def trials(self) -> list[Trial]:
        """Return the trials, numbered from 1."""
        cells = self.cells()
        base = self.compose(*cells[0])
        return [self._trial(number, base, *cell) for number, cell in enumerate(cells, start=1)]

    def _trial(self, number: int, base: dict[str, Any], params: dict[str, Any], replicate: Any) -> Trial:
        config = self.compose(params, replicate)
        overrides = tuple(f"{name}={value}" for name, value in params.items())
        identity = records.digest([config, number])[:16]
        return Trial(number, identity, overrides, params, replicate, tuple(differences(base, config)))


def plan_sweep(root: Path, design: Design) -> paths.Sweep:
    """Take a folder and freeze a plan in it; no trial has ended yet."""
    sweep = paths.Sweep(root)
    base = design.compose(*design.cells()[0])
    identity = Identity(
        sweep=SWEEP,
        objective=design.objective,
        base=records.digest(base),
        code={"commit": "0" * 40, "dirty": False},
        data="d" * 64,
        versions={"python": "3.11.2", "torch": "2.13.0"},
        created="2026-01-02T03:04:05Z",
    )
    assert write_identity(sweep, identity)
    trials = design.trials()
    sizes = partition(len(trials), shards=design.shards, trials_per_shard=None)
    append_part(sweep.plan, trials, sizes, sweep=SWEEP, base=base, form="rebuilt")
    return sweep


def publish(sweep: paths.Sweep, shard: int, results: Sequence[Mapping[str, Any]]) -> int:
    """Append one entry of results to the log of a shard."""
    attempt = f"{shard:04d}/1"
    body = {"results": [{**result, "attempt": attempt} for result in results]}
    return records.append(sweep.shard(shard), records.Kind.RESULT, body, sweep=SWEEP, attempt=attempt)


def finish(sweep: paths.Sweep, design: Design, ending: Callable[[Mapping[str, Any], Any], Any]) -> None:
    """Publish an ending for every trial for which `ending` returns one; None leaves it as planned."""
    trials = design.trials()
    sizes = partition(len(trials), shards=design.shards, trials_per_shard=None)
    shards = [index + 1 for index, size in enumerate(sizes) for _ in range(size)]
    results: dict[int, list[dict[str, Any]]] = {}
    for trial, shard in zip(trials, shards, strict=True):
        told = ending(trial.params, trial.replicate)
        if told is not None:
            fields = ended(told, design.objective.metric)
            results.setdefault(shard, []).append({"trial": trial.id, **fields})
    for shard, ends in results.items():
        publish(sweep, shard, ends)


def build(
    root: Path,
    grid: Mapping[str, Sequence[Any]],
    ending: Callable[[Mapping[str, Any], Any], Any],
    **design: Any,
) -> paths.Sweep:
    """Make a sweep of a grid whose trials end as told: a score, a curve, the fields of a result, or None."""
    plan = Design(grid, **design)
    sweep = plan_sweep(root, plan)
    finish(sweep, plan, ending)
    return sweep
