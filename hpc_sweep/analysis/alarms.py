"""What a reader must know before believing a winner; every alarm carries its numbers."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_sweep.analysis import cautions
from hpc_sweep.analysis.confirmation import fresh_trials, of_the_design
from hpc_sweep.analysis.design import conditional
from hpc_sweep.analysis.front import elected
from hpc_sweep.analysis.naming import runs
from hpc_sweep.analysis.table import different_replicates, error_text, label
from hpc_sweep.records import canonical
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hpc_sweep.analysis.standing import Standing
    from hpc_sweep.analysis.table import Evidence, Observation

_NAMED = 12
_SELECTED_ON = frozenset({"test", "ood", "holdout", "heldout", "eval_test"})
_AGAIN = "hydra.sweep.dir=<this sweep>"


@dataclass(frozen=True)
class Alarm:
    """One warning: ``kind`` for programs, ``text`` and what to type against it (``remedy``) for people."""

    kind: str
    text: str
    remedy: str = ""


def alarms(evidence: Evidence, stand: Standing | None) -> tuple[Alarm, ...]:
    """Return every alarm that the evidence raises, and those that the winner raises where there is one."""
    found = [Alarm(kind, text, remedy) for kind, remedy, check in _OF_THE_SWEEP if (text := check(evidence))]
    if stand is not None:
        told = cautions.cautions(evidence, stand)
        found += [Alarm(kind, text, remedy) for kind, text, remedy in told]
    return tuple(found)


def _all_failed(evidence: Evidence) -> str:
    counts = evidence.ledger.counts
    waiting = sum(counts[status] for status in (Status.PLANNED, Status.RUNNING, Status.LOST, Status.HELD))
    if counts[Status.COMPLETED] or waiting or not evidence.observations:
        return ""
    ended = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    first = next(
        (f" Run {row.trial.number} says: {text}" for row in evidence.ledger.rows if (text := error_text(row))), ""
    )
    return f"None of the {len(evidence.observations)} trials completed ({ended}).{first}"


def _metric_missing(evidence: Evidence) -> str:
    completed = [one for one in evidence.observations if one.status is Status.COMPLETED]
    without = [one.trial.number for one in completed if not one.scored]
    if not without:
        return ""
    names = sorted({name for one in completed for name in one.metrics})
    told = f"The metrics that were reported are {', '.join(names)}." if names else "No metric was reported at all."
    metric = evidence.objective.metric
    return f"{len(without)} of {len(completed)} completed trials have no finite {metric} ({runs(without)}). {told}"


def _incomplete_grid(evidence: Evidence) -> str:
    groups: dict[Status, list[int]] = {}
    for one in evidence.observations:
        groups.setdefault(one.status, []).append(one.trial.number)
    planned, completed = len(evidence.observations), len(groups.pop(Status.COMPLETED, []))
    combinations = math.prod(len(levels) for levels in evidence.space.levels.values())
    configurations = len(evidence.configurations)
    sentences = []
    if completed < planned:
        absent = "; ".join(f"{len(numbers)} {status} ({runs(numbers)})" for status, numbers in sorted(groups.items()))
        sentences.append(f"{completed} of {planned} planned trials completed. Without a score: {absent}.")
    # A random design holds a tiny share of all combinations of its levels; calling that a hole would be noise.
    if combinations / 2 <= configurations < combinations and not conditional(evidence):
        sentences.append(f"The plan holds {configurations} of the {combinations} combinations of its levels.")
    return " ".join(sentences)


def _one_replicate(evidence: Evidence) -> str:
    single = sum(one.replicates == 1 for one in evidence.configurations)
    scored = sum(one.n > 0 for one in evidence.configurations)
    if not single:
        return ""
    key = evidence.objective.replicate or "replicate"
    return f"{single} of {scored} configurations with a score have one {key} only: their noise cannot be seen."


def _ragged_replicates(evidence: Evidence) -> str:
    fresh = fresh_trials(evidence)
    counts = Counter(different_replicates(of_the_design(one, fresh)) for one in evidence.configurations)
    del counts[0]
    if len(counts) < 2:  # noqa: PLR2004 because two different counts are ragged
        return ""
    told = ", ".join(f"{number} with {n}" for n, number in sorted(counts.items()))
    return f"Configurations have unequal numbers of replicates with a score: {told}."


def _identical_replicates(evidence: Evidence) -> str:
    repeated = [one for one in evidence.configurations if one.replicates > 1]
    same = [one for one in repeated if one.squares == 0]
    if not same or len(same) * 2 <= len(repeated):
        return ""
    key = evidence.objective.replicate or "replicate"
    return f"In {len(same)} of {len(repeated)} configurations every {key} gave the same score: does it change anything?"


def _best_epoch_selection(evidence: Evidence) -> str:
    metric = evidence.objective.metric
    if evidence.objective.at != "best" or evidence.objective.mode is None:
        return ""
    curves = [(one.value, curve) for one in evidence.scored if (curve := one.curve(metric))]
    if not curves:
        return ""
    gains = [abs(value - curve[-1]) for value, curve in curves]
    return (
        f"Each trial is judged at its own best of up to {max(len(curve) for _, curve in curves)} epochs, a second "
        f"selection: {metric} is better there than at the last epoch by {math.fsum(gains) / len(gains):.4g} on average "
        f"(n = {len(gains)} trials)."
    )


def _mixed_data(evidence: Evidence) -> str:
    sizes = evidence.evaluation.sizes
    if len(sizes) < 2:  # noqa: PLR2004 because two different counts are mixed
        return ""
    told = ", ".join(map(str, sizes[:_NAMED]))
    return f"{evidence.objective.metric} was measured on evaluation sets of different sizes: n = {told}."


def _mixed_content(evidence: Evidence) -> str:
    return _mixed("data", (_short(one.extras.get("data")) for one in evidence.scored))


def _mixed_code(evidence: Evidence) -> str:
    return _mixed("code", (_short(one.result.get("code")) for one in evidence.scored))


def _short(value: object) -> str:
    return "" if value is None else str(value)[:12]


def _mixed_devices(evidence: Evidence) -> str:
    return _mixed("devices", (str(one.result.get("device") or "") for one in evidence.scored))


def _mixed_threads(evidence: Evidence) -> str:
    threads = [one.result.get("threads") for one in evidence.scored]
    return _mixed("numbers of threads", (str(count) for count in threads if count is not None))


def _mixed(what: str, values: Iterable[str]) -> str:
    counts = sorted(Counter(filter(None, values)).items())
    if len(counts) < 2:  # noqa: PLR2004 because two different values are mixed
        return ""
    return f"Trials ran on different {what}: {', '.join(f'{value} ({count} trials)' for value, count in counts)}."


def _unreadable_records(evidence: Evidence) -> str:
    problems = evidence.ledger.problems
    count = _counted(len(problems), "record", "records")
    return f"{count} cannot be used. The first: {problems[0]}" if problems else ""


def _vanished_records(evidence: Evidence) -> str:
    """Name the entries that an earlier decision had read, and that are gone or stand behind a hole by now."""
    inputs, gone = evidence.ledger.inputs, evidence.ledger.vanished
    if not gone:
        return ""
    count = sum(known - inputs.get(log, 0) for log, known in gone.items())
    told = [f"{_entries(inputs.get(log, 0) + 1, known)} of {log}" for log, known in gone.items()]
    more = f", and of {len(told) - _NAMED} more logs" if len(told) > _NAMED else ""
    return (
        f"{_counted(count, 'entry', 'entries')} that an earlier report was made from cannot be read any more: "
        f"{'; '.join(told[:_NAMED])}{more}."
    )


def _entries(first: int, last: int) -> str:
    return f"{first:06d}" if first == last else f"{first:06d} to {last:06d}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _conflicting_outcomes(evidence: Evidence) -> str:
    numbers = [trial.number for trial in evidence.ledger.conflicts]
    if not numbers:
        return ""
    return f"{len(numbers)} trials have a second outcome that differs from the first, which stands: {runs(numbers)}."


def _duplicate_runs(evidence: Evidence) -> str:
    """Count the runs that repeat a configuration with a replicate that it already had."""
    cells: dict[tuple[int, str], list[Observation]] = {}
    for one in evidence.configurations:
        for run in one.scored if one.replicates < one.n else ():
            if run.trial.replicate is not None:
                cells.setdefault((one.first, canonical(run.trial.replicate)), []).append(run)
    repeated = [found for found in cells.values() if len(found) > 1]
    if not repeated:
        return ""
    extra = sum(len(found) - 1 for found in repeated)
    equal = sum(len({canonical(dict(run.metrics)) for run in found}) == 1 for found in repeated)
    squares = sum(_squares([run.value for run in found]) for found in repeated)
    spread = f"; between such runs {evidence.objective.metric} has a sd of {math.sqrt(squares / extra):.3g}"
    return (
        f"{extra} runs repeat a configuration and {evidence.objective.replicate or 'replicate'} that had run before "
        f"({runs(sorted(run.trial.number for found in repeated for run in found[1:]))}). They are averaged, and are no "
        f"further replicates. {equal} of {len(repeated)} such groups are equal in everything (copies){spread}."
    )


def _missing_cells(evidence: Evidence) -> str:
    """Count the cells of the grid of levels and replicates that have no run at all."""
    key, fresh = evidence.objective.replicate, fresh_trials(evidence)
    told = [one for one in evidence.observations if one.trial.replicate is not None and one.trial.id not in fresh]
    labels = {canonical(one.trial.replicate) for one in told}
    combinations = math.prod(len(levels) for levels in evidence.space.levels.values())
    if key is None or len(labels) < 2 or combinations > 2 * len(evidence.configurations):  # noqa: PLR2004 one is no grid
        return ""
    ran = {
        (one.first, canonical(run.trial.replicate))
        for one in evidence.configurations
        for run in one.observations
        if run.trial.id not in fresh
    }
    missing = combinations * len(labels) - len(ran)
    if not missing or conditional(evidence):
        return ""
    return (
        f"{missing} of the {combinations * len(labels)} cells of {combinations} combinations of levels and "
        f"{len(labels)} values of {key} have no run."
    )


def _selected_on_test(evidence: Evidence) -> str:
    split = evidence.objective.metric.partition("/")[0]
    if split.lower() not in _SELECTED_ON:
        return ""
    return (
        f"The configuration is chosen by {evidence.objective.metric}: after that, nothing measured on {split} is an "
        "unbiased score."
    )


def _metrics_disagree(evidence: Evidence) -> str:
    winners = elected(evidence)
    count = len({one.first for one in winners.values()})
    if count < 2:  # noqa: PLR2004 because one choice is agreement
        return ""
    told = "; ".join(f"{name}: {label(one.params)} ({runs(one.trials)})" for name, one in winners.items())
    return f"By their means the metrics elect {count} different configurations. {told}."


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


_OF_THE_SWEEP: tuple[tuple[str, str, Callable[[Evidence], str]], ...] = (
    ("all_failed", "hpc-sweep resume <this sweep> --failed, after the cause is mended", _all_failed),
    ("metric_missing", "the same command with objective.metric=<one of these>, in a new folder", _metric_missing),
    ("unreadable_records", "hpc-sweep resume <this sweep>", _unreadable_records),
    (
        "vanished_records",
        "bring the files back from a copy, or hpc-sweep resume <this sweep>; rm decision/decision.json forgets them",
        _vanished_records,
    ),
    ("conflicting_outcomes", "hpc-sweep logs <this sweep> <trial>: the first outcome stands", _conflicting_outcomes),
    ("incomplete_grid", "hpc-sweep resume <this sweep> (--failed for what failed)", _incomplete_grid),
    ("missing_cells", f"the same command with every level and replicate, and {_AGAIN}", _missing_cells),
    ("one_replicate", f"the same command with five replicates, seed=1,2,3,4,5, and {_AGAIN}", _one_replicate),
    (
        "ragged_replicates",
        f"the same command with all replicates, and {_AGAIN}: only what is missing runs",
        _ragged_replicates,
    ),
    (
        "duplicate_runs",
        "nothing: what repeats is averaged; a trial's identity is its content, not its place",
        _duplicate_runs,
    ),
    (
        "identical_replicates",
        "a replicate key that the task reads, for example objective.replicate=seed",
        _identical_replicates,
    ),
    ("best_epoch_selection", "objective.at=last, in a new folder", _best_epoch_selection),
    (
        "selected_on_test",
        "objective.metric=val/<name>, and the test set once, for the production run",
        _selected_on_test,
    ),
    (
        "metrics_disagree",
        'objective.constraints=["<split/name> >= <least>"] for what the winner must keep',
        _metrics_disagree,
    ),
    ("mixed_data", "the same command in a new folder: scores on different sets do not compare", _mixed_data),
    ("mixed_content", "the same command in a new folder: scores on different data do not compare", _mixed_content),
    ("mixed_code", "the same command in a new folder, with one version of the code", _mixed_code),
    ("mixed_devices", "the same command in a new folder, on one kind of device", _mixed_devices),
    ("mixed_threads", "hydra.launcher.cpus_per_task=<one number>", _mixed_threads),
)
