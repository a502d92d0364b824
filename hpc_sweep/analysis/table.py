"""From the ledger to what was observed: each trial's score, the configurations, and two frames for people.

::

    Ledger -> Evidence ── observations     one for each planned trial, metrics at the epoch that counts
                       ├─ configurations   observations that differ in nothing but the replicate
                       └─ evaluation       how many examples the objective's metric was measured on
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from hpc_sweep.identity import restored
from hpc_sweep.records import canonical
from hpc_sweep.space import Space, configuration, is_number
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hpc_sweep.ledger import Ledger, Row
    from hpc_sweep.objective import Objective
    from hpc_sweep.trial import Trial

HEAD = ("number", "id", "status", "shard", "attempt")
TAIL = ("epochs", "seconds", "device", "error")
_LARGEST = sys.float_info.max
PROPORTIONS = ("accuracy", "acc", "error", "error_rate")
"""Metrics that are a share of the evaluation examples, by the last part of their name."""


@dataclass(frozen=True)
class Observation:
    """A planned trial as the decision sees it; ``value`` is the objective's metric, NaN where there is none."""

    trial: Trial
    status: Status
    metrics: Mapping[str, float]
    value: float
    result: Mapping[str, Any]

    @property
    def scored(self) -> bool:
        """Whether the trial can be ranked: completed, with a finite value."""
        return self.status is Status.COMPLETED and math.isfinite(self.value)

    def curve(self, metric: str) -> list[float]:
        """Return the metric's value after each epoch, empty where the trial has no curve of it."""
        return _numbers(self.result.get("curves", {}).get(metric, ()))

    @property
    def extras(self) -> Mapping[str, Any]:
        """What the trial left beside its metrics: any JSON, by name."""
        return self.result.get("extras") or {}


@dataclass(frozen=True)
class Configuration:
    """One point of the search space with the observations of all its replicates, by trial number."""

    params: Mapping[str, Any]
    observations: tuple[Observation, ...]

    @cached_property
    def scored(self) -> tuple[Observation, ...]:
        """The replicates that count."""
        return tuple(one for one in self.observations if one.scored)

    @property
    def first(self) -> int:
        """The lowest number of its trials."""
        return self.observations[0].trial.number

    @property
    def trials(self) -> list[int]:
        """The numbers of the trials that count."""
        return [one.trial.number for one in self.scored]

    @property
    def n(self) -> int:
        """How many replicates count."""
        return len(self.scored)

    @cached_property
    def replicates(self) -> int:
        """How many different replicates count; runs of the same one again are no further replicate."""
        return different_replicates(self.scored)

    @cached_property
    def mean(self) -> float:
        """The mean over the replicates that count, NaN without any; the same in whatever order they come."""
        return math.fsum(one.value for one in self.scored) / self.n if self.n else math.nan

    @cached_property
    def squares(self) -> float:
        """The sum of squared deviations from the mean."""
        return math.fsum((one.value - self.mean) ** 2 for one in self.scored)

    @property
    def sd(self) -> float | None:
        """The standard deviation between replicates (n - 1), None for fewer than two."""
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else None


@dataclass(frozen=True)
class Evaluation:
    """The examples that the objective's metric was measured on: ``sizes`` are the different counts that were told."""

    sizes: tuple[int, ...]
    complete: bool
    proportion: bool

    @property
    def size(self) -> int | None:
        """The smallest count, None unless every trial tells one."""
        return self.sizes[0] if self.sizes and self.complete else None


@dataclass(frozen=True)
class Evidence:
    """All that a decision and its report may use."""

    ledger: Ledger
    objective: Objective
    space: Space
    observations: tuple[Observation, ...]
    configurations: tuple[Configuration, ...]
    evaluation: Evaluation

    @classmethod
    def of(cls, ledger: Ledger, objective: Objective | None = None, space: Space | None = None) -> Evidence:
        """Read a ledger by its own objective and planned space, unless others are given."""
        objective = objective or ledger.identity.objective
        rows = sorted(_told(ledger), key=lambda row: row.trial.number)
        order = _swept_order([row.trial for row in rows])
        levels = (space or Space.of(row.trial for row in rows)).levels
        space = Space(
            {
                name: levels[name]
                for name in sorted(levels, key=lambda name: order.index(name) if name in order else len(order))
            }
        )
        observations = tuple(_observe(row, objective) for row in rows)
        evaluation = _evaluation([one for one in observations if one.scored], objective)
        return cls(ledger, objective, space, observations, _configurations(observations, order), evaluation)

    @property
    def scored(self) -> list[Observation]:
        """The trials that can be ranked."""
        return [one for one in self.observations if one.scored]


@dataclass(frozen=True)
class LevelMean:
    """The unweighted mean over the configurations that have a level and a score."""

    level: Any
    n: int
    mean: float
    low: float
    high: float


def different_replicates(runs: Sequence[Observation]) -> int:
    """Count the different replicates of some runs; one that tells none is one of its own."""
    labels = [canonical(one.trial.replicate) for one in runs if one.trial.replicate is not None]
    return len(runs) - len(labels) + len(set(labels))


def metrics_at(result: Mapping[str, Any], objective: Objective) -> dict[str, float]:
    """Return every metric at the epoch that counts; one without a curve has a single value, and that is it."""
    curves = result.get("curves", {})
    last = {name: _number(curve[-1]) for name, curve in curves.items() if curve}
    last |= {name: _number(value) for name, value in result.get("metrics", {}).items()}
    own = [] if objective.at == "last" else _numbers(curves.get(objective.metric, ()))
    if not own:
        return last
    index = objective.epoch(own)
    return last | {name: _number(curve[index]) for name, curve in curves.items() if index < len(curve)}


def level_means(evidence: Evidence, name: str) -> list[LevelMean]:
    """Return the marginal mean of each level of a hyperparameter, over what ran; no test of anything."""
    means: dict[str, list[float]] = {}
    for one in evidence.configurations:
        if one.n and name in one.params:
            means.setdefault(canonical(one.params[name]), []).append(one.mean)
    found = [(level, means[canonical(level)]) for level in evidence.space.levels[name] if canonical(level) in means]
    return [LevelMean(level, len(m), math.fsum(m) / len(m), min(m), max(m)) for level, m in found]


def trials_table(evidence: Evidence) -> pd.DataFrame:
    """Return one row for each planned trial, in the columns of `merged/trials.csv`.

    Cells keep their Python types; what a trial does not have is `pandas.NA`, so that a level that is null stays None.
    """
    params = list(evidence.space.levels)
    metrics = _metric_names(evidence)
    taken = {*HEAD, *TAIL, *metrics}
    replicate = [_free(name, taken) for name in _replicate_name(evidence)]
    columns = [*HEAD, *(_free(name, taken.union(replicate)) for name in params), *replicate, *metrics, *TAIL]
    rows = [
        [
            *_head(one, row),
            *(one.trial.params.get(name, pd.NA) for name in params),
            *(_or_missing(one.trial.replicate) for _ in replicate),
            *(one.metrics.get(name, pd.NA) for name in metrics),
            *_tail(row),
        ]
        for one, row in zip(
            evidence.observations, sorted(evidence.ledger.rows, key=lambda r: r.trial.number), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def curve_rows(evidence: Evidence) -> tuple[list[str], Iterator[list[Any]]]:
    """Return the columns of `merged/curves.csv`, and one row for each trial with an outcome and each of its epochs.

    Epochs count from 1; the rows come one by one, because there may be millions of them.
    """
    metrics = sorted({name for one in evidence.observations for name in one.result.get("curves", {})})
    return ["number", "id", "epoch", *metrics], _curve_rows(evidence.observations, metrics)


def _curve_rows(observations: Iterable[Observation], metrics: Sequence[str]) -> Iterator[list[Any]]:
    for one in observations:
        curves = [one.curve(name) for name in metrics]
        for epoch, values in enumerate(itertools.zip_longest(*curves, fillvalue=math.nan), start=1):
            yield [one.trial.number, one.trial.id, epoch, *values]


def level_text(value: object) -> str:
    """Return a level as people read it: text as it is, numbers as Python writes them, the rest as JSON.

    >>> level_text("adam"), level_text(0.001), level_text({"float": "inf"}), level_text([0.9, 0.999])
    ('adam', '0.001', 'inf', '[0.9,0.999]')
    """
    if isinstance(value, str):
        return value
    number = restored(value)
    return repr(number) if isinstance(number, float) or is_number(number) else canonical(value)


def label(params: Mapping[str, Any]) -> str:
    """Return a configuration in one line.

    >>> label({"dropout": 0.4, "lr": 0.001})
    'dropout=0.4, lr=0.001'
    """
    return ", ".join(f"{name}={level_text(value)}" for name, value in params.items()) or "the only configuration"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return hyperparameters by the last part of their dotted names, where that is unique.

    >>> short_names(["optimizer.lr", "model.dropout", "encoder.size", "decoder.size"])["optimizer.lr"]
    'lr'
    """
    last = {name: name.rpartition(".")[2] for name in names}
    counts = Counter(last.values())
    return {name: short if short and counts[short] == 1 else name for name, short in last.items()}


def error_text(row: Row) -> str:
    """Return why a trial failed or diverged, empty for every other status."""
    if row.status is Status.FAILED and row.failure:
        error = row.failure.get("error") or {}
        return f"{error.get('reason', 'unknown')}: {error.get('text', '')}"
    return str((row.result or {}).get("note", "")) if row.status is Status.DIVERGED else ""


def _told(ledger: Ledger) -> Iterable[Row]:
    """Return the rows with the replicate that their trials do not tell, once others have another one."""
    part = ledger.plan.confirmation
    unsaid = part.confirms["unsaid"] if part is not None and part.confirms is not None else None
    if unsaid is None:
        return ledger.rows
    return [
        replace(row, trial=replace(row.trial, replicate=unsaid)) if row.trial.replicate is None else row
        for row in ledger.rows
    ]


def _observe(row: Row, objective: Objective) -> Observation:
    result = row.result or {}
    metrics = metrics_at(result, objective)
    return Observation(row.trial, row.status, metrics, metrics.get(objective.metric, math.nan), result)


def _swept_order(trials: Sequence[Trial]) -> list[str]:
    """Return the hyperparameters in the order of the command line, which JSON objects do not keep."""
    typed = [override.lstrip("+").partition("=")[0] for override in (trials[0].overrides if trials else ())]
    names = sorted({name for trial in trials for name in trial.params})
    return sorted(names, key=lambda name: typed.index(name) if name in typed else len(typed))


def _configurations(observations: Iterable[Observation], order: Sequence[str]) -> tuple[Configuration, ...]:
    groups: dict[str, list[Observation]] = {}
    for one in observations:
        groups.setdefault(configuration(one.trial.params), []).append(one)
    return tuple(Configuration(_in_order(group[0].trial.params, order), tuple(group)) for group in groups.values())


def _in_order(params: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    return {name: params[name] for name in order if name in params}


def _evaluation(scored: Sequence[Observation], objective: Objective) -> Evaluation:
    split, _, name = objective.metric.partition("/")
    counts = [sizes.get(split) if isinstance(sizes := one.extras.get("n"), dict) else None for one in scored]
    told = [count for count in counts if isinstance(count, int) and count > 0]
    share = name in PROPORTIONS and all(0 <= one.value <= 1 for one in scored)
    return Evaluation(tuple(sorted(set(told))), bool(told) and len(told) == len(scored), share)


def _metric_names(evidence: Evidence) -> list[str]:
    names = {evidence.objective.metric, *(name for one in evidence.observations for name in one.metrics)}
    return sorted(names, key=lambda name: (name != evidence.objective.metric, name))


def _replicate_name(evidence: Evidence) -> list[str]:
    name = evidence.objective.replicate
    found = any(one.trial.replicate is not None for one in evidence.observations)
    return [name] if name is not None and found else []


def _free(name: str, taken: set[str]) -> str:
    """Keep a hyperparameter that is called like another column (`epochs`, say) apart from it."""
    return _free(f"params.{name}", taken) if name in taken else name


def _head(one: Observation, row: Row) -> list[Any]:
    _, _, attempt = str(one.result.get("attempt", "")).partition("/")
    own = int(attempt) if attempt.isdecimal() else row.attempt
    return [one.trial.number, one.trial.id, one.status.value, one.trial.shard, own or pd.NA]


def _tail(row: Row) -> list[Any]:
    record = row.result or row.failure or {}
    return [*(_or_missing(record.get(name)) for name in ("epochs", "seconds", "device")), error_text(row) or pd.NA]


def _or_missing(value: object) -> object:
    return pd.NA if value is None else value


def _number(value: object) -> float:
    if type(value) is float:  # nearly always; NaN is in no range
        return value if -_LARGEST <= value <= _LARGEST else math.nan
    return float(value) if isinstance(value, (int, float)) and is_number(value) else math.nan


def _numbers(values: Iterable[object]) -> list[float]:
    return [_number(value) for value in values]
