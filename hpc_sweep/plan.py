"""The plan of a sweep: a log of frozen parts, each with its trials and their shards.

A part keeps the configuration of its first trial once, as ``base``, and every trial as the changes that lead from it
to the trial's own configuration. What is read back is exactly what was planned, whatever happened to ``conf/`` since.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import UserError
from hpc_sweep.records import Kind, append, canonical, read
from hpc_sweep.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from hpc_sweep.records import Entry

Keys = tuple[str, ...]
Change = tuple[Keys, Any]

_GONE = {"gone": True}


@dataclass(frozen=True)
class Part:
    """One frozen part of the plan.

    ``form`` says how a shard gets the trial's task: ``rebuilt`` from the JSON here, or ``carried`` as one cloudpickle
    whose sha256 is ``form_sha256``. ``confirms`` is there in the one part that runs a short list on fresh replicates:
    ``named``, the id of a trial of the configuration that was the pick; ``origins``, for each trial the id of the one
    that it repeats; the key of the ``replicate``, and its value ``unsaid`` in trials that do not tell theirs.
    """

    number: int
    sha256: str
    base: Mapping[str, Any]
    trials: tuple[Trial, ...]
    form: str
    form_sha256: str
    confirms: Mapping[str, Any] | None = None

    def configuration(self, trial: Trial) -> dict[str, Any]:
        """Return the whole task configuration of a trial, unresolved."""
        return apply(self.base, trial.changes)


@dataclass(frozen=True)
class Plan:
    """The union of the parts, in order."""

    parts: tuple[Part, ...]

    @property
    def trials(self) -> list[Trial]:
        """Every planned trial, by number."""
        return [trial for part in self.parts for trial in part.trials]

    def shard(self, number: int) -> list[Trial]:
        """Return the trials of one shard, in the order in which they train."""
        return [trial for trial in self.trials if trial.shard == number]

    def part_of(self, trial: Trial) -> Part:
        """Return the part that planned a trial."""
        return next(part for part in self.parts if part.number == trial.part)

    def origin(self, trial: Trial) -> Trial:
        """Return the trial that a fresh replicate repeats; every other trial is its own."""
        confirms = self.part_of(trial).confirms
        if confirms is None:
            return trial
        return next(one for one in self.trials if one.id == confirms["origins"][trial.id])

    @property
    def confirmation(self) -> Part | None:
        """The part that runs a short list on fresh replicates; a sweep has one at most."""
        return next((part for part in self.parts if part.confirms is not None), None)

    @property
    def shards(self) -> list[int]:
        """The numbers of all planned shards."""
        return sorted({trial.shard for trial in self.trials})


def partition(count: int, *, shards: int | None, trials_per_shard: int | None) -> list[int]:
    """Return the sizes of the shards for `count` trials: their number is as asked, their sizes differ by at most one.

    >>> partition(18, shards=None, trials_per_shard=4)
    [4, 4, 4, 3, 3]
    """
    if shards is not None and trials_per_shard is not None:
        raise UserError(
            "The launcher was given both shards and trials_per_shard, and each determines the other.",
            next_step=f"Type hydra.launcher.shards=null to keep trials_per_shard={trials_per_shard}.",
        )
    for name, value in (("shards", shards), ("trials_per_shard", trials_per_shard)):
        if value is not None and value < 1:
            raise UserError(f"hydra.launcher.{name}={value} cannot be met.", next_step=f"Type hydra.launcher.{name}=1")
    wanted = -(-count // trials_per_shard) if trials_per_shard is not None else shards or 1
    number = min(wanted, count)
    return [count // number + (index < count % number) for index in range(number)]


def differences(base: object, other: object, at: Keys = ()) -> list[Change]:
    """Return what must be set, at which path of keys, to make `other` of `base`; a missing key is marked as gone."""
    if not (isinstance(base, dict) and isinstance(other, dict)):
        # As JSON, because 1, 1.0 and true are three values there and one in Python.
        return [] if canonical(base) == canonical(other) else [(at, {"set": other})]
    changes: list[Change] = [((*at, key), _GONE) for key in base if key not in other]
    for key, value in other.items():
        if key in base:
            changes += differences(base[key], value, (*at, key))
        else:
            changes.append(((*at, key), {"set": value}))
    return changes


def apply(base: Mapping[str, Any], changes: Iterable[Change]) -> dict[str, Any]:
    """Return a copy of `base` with the changes of `differences` made; keys keep their order, new ones come last."""
    result: dict[str, Any] = copy.deepcopy(dict(base))
    for path, change in changes:
        node = result
        for key in path[:-1]:
            node = node[key]
        if change == _GONE:
            del node[path[-1]]
        else:
            node[path[-1]] = copy.deepcopy(change["set"])
    return result


def append_part(  # noqa: PLR0913 because a part is frozen with all of this
    log: Path,
    trials: Sequence[Trial],
    sizes: Sequence[int],
    *,
    sweep: str,
    base: Mapping[str, Any],
    form: str,
    form_sha256: str = "",
    first_shard: int = 1,
    at: int | None = None,
    confirms: Mapping[str, Any] | None = None,
) -> Part | None:
    """Freeze trials as the next part of the plan and return it as it will be read.

    With ``at`` it becomes this part or none: None says that somebody else planned meanwhile.
    """
    shard_of = [first_shard + index for index, size in enumerate(sizes) for _ in range(size)]
    rows = [_row(trial, shard) for trial, shard in zip(trials, shard_of, strict=True)]
    body = {"base": base, "form": form, "form_sha256": form_sha256, "shards": list(sizes), "first_shard": first_shard}
    body |= {} if confirms is None else {"confirms": confirms}
    number = append(log, Kind.PLAN, body, sweep=sweep, rows=rows, at=at)
    if not number:
        return None
    return read_plan(log, sweep=sweep, after=number - 1).parts[0]


def read_plan(log: Path, *, sweep: str, after: int = 0) -> Plan:
    """Read the parts of a plan that follow number `after`."""
    return Plan(tuple(_part(entry) for entry in read(log, sweep=sweep, after=after)))


def _part(entry: Entry) -> Part:
    body = entry.body
    trials = tuple(replace(_trial(row), part=entry.number) for row in entry.rows)
    return Part(
        entry.number, entry.sha256, body["base"], trials, body["form"], body["form_sha256"], body.get("confirms")
    )


def _row(trial: Trial, shard: int) -> dict[str, Any]:
    return {
        "number": trial.number,
        "id": trial.id,
        "shard": shard,
        "overrides": list(trial.overrides),
        "params": dict(trial.params),
        "replicate": trial.replicate,
        "changes": [[list(path), change] for path, change in trial.changes],
    }


def _trial(row: Mapping[str, Any]) -> Trial:
    return Trial(
        number=row["number"],
        id=row["id"],
        shard=row["shard"],
        overrides=tuple(row["overrides"]),
        params=row["params"],
        replicate=row["replicate"],
        changes=tuple((tuple(path), change) for path, change in row["changes"]),
    )
