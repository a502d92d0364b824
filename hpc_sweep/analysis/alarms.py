"""What a reader must know before believing a winner; every alarm carries its numbers."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.intervals import slope, wilson
from hpc_sweep.analysis.table import error_text, level_text
from hpc_sweep.records import canonical
from hpc_sweep.space import Space
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpc_sweep.analysis.table import Configuration, Evidence, Observation

SMALL = 1000
"""Below this many evaluation examples a proportion is uncertain by three points or more."""

_NAMED = 12
_FEWEST_EPOCHS = 4


@dataclass(frozen=True)
class Alarm:
    """One warning: ``kind`` for programs, ``text`` for people."""

    kind: str
    text: str


def alarms(evidence: Evidence, winner: Configuration | None) -> tuple[Alarm, ...]:
    """Return every alarm that the evidence raises, and those that the winner raises where there is one."""
    texts = [(kind, check(evidence)) for kind, check in _OF_THE_SWEEP]
    if winner is not None:
        texts += [(kind, check_winner(evidence, winner)) for kind, check_winner in _OF_THE_WINNER]
    return tuple(Alarm(kind, text) for kind, text in texts if text)


def runs(numbers: Sequence[int]) -> str:
    """Return trial numbers as people read them, the first dozen of many.

    >>> runs([3]), runs([3, 5])
    ('Run 3', 'Runs 3, 5')
    """
    named = ", ".join(str(number) for number in numbers[:_NAMED])
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return f"{'Run' if len(numbers) == 1 else 'Runs'} {named}{more}"


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
    if combinations / 2 <= configurations < combinations:
        sentences.append(f"The plan holds {configurations} of the {combinations} combinations of its levels.")
    return " ".join(sentences)


def _one_replicate(evidence: Evidence) -> str:
    single = sum(one.n == 1 for one in evidence.configurations)
    scored = sum(one.n > 0 for one in evidence.configurations)
    if not single:
        return ""
    key = evidence.objective.replicate or "replicate"
    return f"{single} of {scored} configurations with a score have one {key} only: their noise cannot be seen."


def _ragged_replicates(evidence: Evidence) -> str:
    counts = Counter(one.n for one in evidence.configurations if one.n)
    if len(counts) < 2:  # noqa: PLR2004 because two different counts are ragged
        return ""
    told = ", ".join(f"{number} with {n}" for n, number in sorted(counts.items()))
    return f"Configurations have unequal numbers of replicates with a score: {told}."


def _identical_replicates(evidence: Evidence) -> str:
    repeated = [one for one in evidence.configurations if one.n > 1]
    same = [one for one in repeated if one.squares == 0]
    if not same or len(same) * 2 <= len(repeated):
        return ""
    key = evidence.objective.replicate or "replicate"
    return f"In {len(same)} of {len(repeated)} configurations every {key} gave the same score: does it change anything?"


def _best_epoch_selection(evidence: Evidence) -> str:
    metric = evidence.objective.metric
    curves = [(one.value, curve) for one in evidence.scored if (curve := one.curve(metric))]
    if evidence.objective.at != "best" or evidence.objective.mode is None or not curves:
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


def _mixed_devices(evidence: Evidence) -> str:
    return _mixed("devices", (str(one.result.get("device", "")) for one in evidence.scored))


def _mixed_threads(evidence: Evidence) -> str:
    threads = [one.result.get("threads") for one in evidence.scored]
    return _mixed("numbers of threads", (str(count) for count in threads if count is not None))


def _mixed(what: str, values: Iterable[str]) -> str:
    counts = sorted(Counter(values).items())
    if len(counts) < 2:  # noqa: PLR2004 because two different values are mixed
        return ""
    return f"Trials ran on different {what}: {', '.join(f'{value} ({count} trials)' for value, count in counts)}."


def _unreadable_records(evidence: Evidence) -> str:
    problems = evidence.ledger.problems
    return f"{len(problems)} records cannot be used. The first: {problems[0]}" if problems else ""


def _conflicting_outcomes(evidence: Evidence) -> str:
    first = {one.trial.id: one for one in evidence.observations}
    differing = [first[late["trial"]] for late in evidence.ledger.late if _differs(first.get(late["trial"]), late)]
    numbers = sorted({one.trial.number for one in differing})
    if not numbers:
        return ""
    return f"{len(numbers)} trials have a second outcome that differs from the first, which stands: {runs(numbers)}."


def _differs(one: Observation | None, late: Mapping[str, Any]) -> bool:
    return one is not None and any(
        canonical(one.result.get(name)) != canonical(late.get(name)) for name in ("outcome", "metrics")
    )


def _winner_diverged(evidence: Evidence, winner: Configuration) -> str:
    del evidence
    diverged = [one.trial.number for one in winner.observations if one.status is Status.DIVERGED]
    if not diverged:
        return ""
    total = len(winner.observations)
    return f"{len(diverged)} of {total} replicates of the winner diverged ({runs(diverged)}); its mean leaves them out."


def _edge_of_grid(evidence: Evidence, winner: Configuration) -> str:
    ran = _levels_that_ran(evidence)
    return " ".join(_edge(name, winner.params[name], ran.levels[name]) for name in ran.edges(winner.params))


def _levels_that_ran(evidence: Evidence) -> Space:
    scored = [one for one in evidence.configurations if one.n]
    ran = {name: {canonical(one.params.get(name)) for one in scored} for name in evidence.space.levels}
    levels = evidence.space.levels.items()
    return Space({name: tuple(level for level in all_ if canonical(level) in ran[name]) for name, all_ in levels})


def _edge(name: str, value: object, levels: Sequence[object]) -> str:
    end = "smallest" if value == levels[0] else "largest"
    tried = ", ".join(level_text(level) for level in levels[:_NAMED]) + (", …" if len(levels) > _NAMED else "")
    return f"{name}={level_text(value)} is the {end} of the {len(levels)} values that were tried ({tried})."


def _curve_rising(evidence: Evidence, winner: Configuration) -> str:
    """Compare the slope over the last third of the epochs (four at least) with twice its standard error."""
    metric, mode = evidence.objective.metric, evidence.objective.mode
    curves = [one.curve(metric) for one in winner.scored]
    epochs = min(map(len, curves))
    tail = max(_FEWEST_EPOCHS, math.ceil(epochs / 3))
    if epochs < tail:
        return ""
    last = [math.fsum(curve[index] for curve in curves) / len(curves) for index in range(epochs - tail, epochs)]
    if not all(map(math.isfinite, last)):
        return ""
    rise, error = slope(last)
    if (rise if mode == "max" else -rise) <= 2 * error:
        return ""
    return (
        f"The winner was still improving: over the last {tail} of {epochs} epochs {metric} went from {last[0]:.4g} to "
        f"{last[-1]:.4g}, {rise:+.2g} per epoch (standard error {error:.2g}). The ranking may differ after more epochs."
    )


def _small_evaluation_set(evidence: Evidence, winner: Configuration) -> str:
    metric, evaluation = evidence.objective.metric, evidence.evaluation
    if evaluation.size is None or evaluation.size >= SMALL:
        return ""
    if not evaluation.proportion:
        return f"{metric} was measured on n = {evaluation.size} examples; how uncertain that makes it is not known."
    low, high = wilson(winner.mean, evaluation.size)
    return (
        f"{metric} = {winner.mean:.4g} was measured on n = {evaluation.size} examples: by that alone its 95 % interval "
        f"is {low:.3f} to {high:.3f} (Wilson)."
    )


_OF_THE_SWEEP: tuple[tuple[str, Callable[[Evidence], str]], ...] = (
    ("all_failed", _all_failed),
    ("metric_missing", _metric_missing),
    ("unreadable_records", _unreadable_records),
    ("conflicting_outcomes", _conflicting_outcomes),
    ("incomplete_grid", _incomplete_grid),
    ("one_replicate", _one_replicate),
    ("ragged_replicates", _ragged_replicates),
    ("identical_replicates", _identical_replicates),
    ("best_epoch_selection", _best_epoch_selection),
    ("mixed_data", _mixed_data),
    ("mixed_devices", _mixed_devices),
    ("mixed_threads", _mixed_threads),
)
_OF_THE_WINNER: tuple[tuple[str, Callable[[Evidence, Configuration], str]], ...] = (
    ("winner_diverged", _winner_diverged),
    ("edge_of_grid", _edge_of_grid),
    ("curve_rising", _curve_rising),
    ("small_evaluation_set", _small_evaluation_set),
)
