"""What a table itself gives away: unknown splits, mixed units, means of runs, tuned thresholds, too few examples."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from scipy.special import stdtr

from hpc_sweep.analysis.alarms import Alarm
from hpc_sweep.analysis.cells import number
from hpc_sweep.analysis.columns import UNKNOWN_SPLIT, metric_key
from hpc_sweep.analysis.table import label
from hpc_sweep.space import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from hpc_sweep.analysis.columns import Columns
    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.analysis.source import Source
    from hpc_sweep.analysis.table import Evidence

_COUNTS = ("n", "runs", "count", "replicates", "seeds")
_MOST_EXAMPLES, _CHANCE = 2000, 0.01
_SHARES = frozenset({"accuracy", "acc", "recall", "error", "error_rate"})
_PART = 10
_NAMED = 8
_USUAL = 0.05


def suspicions(source: Source, columns: Columns, evidence: Evidence) -> list[Alarm]:
    """Return what makes a table less than it seems, before anything is judged."""
    checks = (
        _split(columns),
        _uneven(source),
        _units(source, columns),
        _aggregated(source, columns),
        _threshold(source, columns),
        _harmonic(source, columns),
        _granularity(source, columns, evidence),
        _part(evidence),
    )
    return [alarm for alarm in checks if alarm is not None]


def carried(evidence: Evidence, decision: Decision, params: Mapping[str, Any]) -> Alarm:
    """Return what the table says of a configuration that somebody carries forward."""
    named = label(params)
    found = [
        one for one in evidence.configurations if all(one.params.get(name) == value for name, value in params.items())
    ]
    if not found or not any(one.n for one in found):
        text = f"The configuration that is carried forward ({named}) is in no row of this table: it never ran here."
        return Alarm("carried_forward_never_ran", text, "run it with the same replicates before it is relied on")
    places = {configuration(entry.configuration): entry for entry in decision.leaderboard}
    entry = places[configuration(found[0].params)]
    leader = decision.winner
    assert leader is not None
    rank = "without a rank" if entry.rank is None else f"rank {entry.rank}"
    delta = (
        "" if entry.mean is None else f" with {evidence.objective.metric} = {entry.mean:.4g} against {leader.mean:.4g}"
    )
    kind = "carried_forward" if entry.rank == 1 else "carried_forward_is_not_the_pick"
    return Alarm(kind, f"The configuration that is carried forward ({named}) is {rank}{delta} (n = {entry.n}).", "")


def inferred_examples(source: Source, columns: Columns) -> int | None:
    """Return the smallest number of examples of which all scores are whole parts, where that is no coincidence.

    k different scores of d digits fit any n by chance with probability ((n + 1) / 10^d)^k.
    """
    cells = [cell for cell in source.column(columns.metric) if cell]
    texts = {cell for cell in cells if re.fullmatch(r"0?\.\d{3,}", cell)}
    if len(texts) < 2 or len(texts) < len(set(cells)) or metric_key(columns.metric).partition("/")[2] not in _SHARES:  # noqa: PLR2004
        return None
    digits = min(len(text.partition(".")[2]) for text in texts)
    values = [float(text) for text in texts]
    chance = 0.0
    for n in range(2, _MOST_EXAMPLES):
        chance += ((n + 1) / 10**digits) ** len(values)
        if chance > _CHANCE:
            return None
        if all(abs(round(value * n) / n - value) <= 0.5000001 * 10**-digits for value in values):
            return n
    return None


def _split(columns: Columns) -> Alarm | None:
    key = metric_key(columns.metric)
    if key.partition("/")[0] != UNKNOWN_SPLIT:
        return None
    text = f"The table does not say on which split '{columns.metric}' was measured: training, validation or test."
    return Alarm("split_unknown", text, f"name the column split/name, for example val/{key.partition('/')[2]}")


def _uneven(source: Source) -> Alarm | None:
    if not source.uneven:
        return None
    lines = ", ".join(map(str, source.uneven[:_NAMED])) + (", …" if len(source.uneven) > _NAMED else "")
    text = f"{len(source.uneven)} rows have more or fewer cells than the {len(source.header)} columns (lines {lines})."
    return Alarm("ragged_rows", text, "write the table again with one cell for each column")


def _units(source: Source, columns: Columns) -> Alarm | None:
    numbers = [found for cell in source.column(columns.metric) if (found := number(cell)) is not None]
    percent = sum(one.percent for one in numbers)
    if not 0 < percent < len(numbers):
        return None
    text = (
        f"{percent} of {len(numbers)} values of '{columns.metric}' are in percent and the others are not; both were "
        "read as shares."
    )
    return Alarm("mixed_units", text, "write every score in one unit")


def _aggregated(source: Source, columns: Columns) -> Alarm | None:
    """Compare the best two rows where the cells hold means with their spread."""
    cells = source.column(columns.metric)
    found = [(one, at) for at, cell in enumerate(cells) if (one := number(cell)) is not None and one.spread is not None]
    if len(found) < 2:  # noqa: PLR2004 because two are compared
        return None
    best = sorted(found, key=lambda pair: -pair[0].value)[:2]
    text = (
        f"{len(found)} cells of '{columns.metric}' are means with a spread: the runs themselves are not in the table."
    )
    counts = [_count(source, at) for _, at in best]
    if all(count > 1 for count in counts):
        first, second = ((pair[0].value, pair[0].spread or 0.0, n) for pair, n in zip(best, counts, strict=True))
        t, df = _welch(first, second)
        p = 2 * float(stdtr(df, -abs(t)))
        text += (
            f" The best two, {first[0]:.3g} ± {first[1]:.3g} (n = {first[2]}) and {second[0]:.3g} ± {second[1]:.3g} "
            f"(n = {second[2]}): Welch's t = {t:.2f}, p = {p:.2f}{', a tie' if p > _USUAL else ''}."
        )
    sizes = [_count(source, at) for _, at in found]
    if len(set(sizes)) > 1:
        text += f" The rows have unequal numbers of runs ({', '.join(map(str, sizes))})."
    return Alarm("aggregated", text, "audit the table of runs, one row for each run with its seed")


def _welch(one: tuple[float, float, int], other: tuple[float, float, int]) -> tuple[float, float]:
    """Return t and degrees of freedom of the difference of two means, each (mean, sd, n) (Welch 1947)."""
    parts = [sd**2 / n for _, sd, n in (one, other)]
    df = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, (_, _, n) in zip(parts, (one, other), strict=True))
    return (one[0] - other[0]) / math.sqrt(sum(parts)), df


def _count(source: Source, at: int) -> int:
    """Return how many runs stand behind a row: from a column of counts, else from a list of names."""
    cells = dict(zip((title.lower() for title in source.header), source.rows[at], strict=True))
    for name in _COUNTS:
        if cells.get(name, "").isdecimal():
            return int(cells[name])
    return max((len(cell.split(",")) for cell in source.rows[at]), default=1)


def _threshold(source: Source, columns: Columns) -> Alarm | None:
    split = metric_key(columns.metric).partition("/")[0]
    for name in source.header:
        if metric_key(name) == f"{split}/threshold" and len(set(source.column(name))) > 1:
            values = sorted(found.value for cell in source.column(name) if (found := number(cell)) is not None)
            text = (
                f"'{name}' differs between runs ({len(set(values))} values from {values[0]:g} to {values[-1]:g}): a "
                f"threshold that is chosen on {split} makes {metric_key(columns.metric)} an oracle's score."
            )
            return Alarm("threshold_chosen_on_the_same_split", text, "choose the threshold on another split")
    return None


def _harmonic(source: Source, columns: Columns) -> Alarm | None:
    """Tell where F1 is not the harmonic mean of the precision and recall beside it: then it is a mean of parts."""
    split = metric_key(columns.metric).partition("/")[0]
    keys = {key: name for name, key in columns.keys.items()}
    if not all(f"{split}/{name}" in keys for name in ("f1", "precision", "recall")):
        return None
    cells = list(zip(*(source.column(keys[f"{split}/{name}"]) for name in ("f1", "precision", "recall")), strict=True))
    digits = min((len(cell.partition(".")[2]) for row in cells for cell in row if cell), default=0)
    rows = [tuple(map(number, row)) for row in cells]
    known = [(f.value, p.value, r.value) for f, p, r in rows if f and p and r and p.value + r.value > 0]
    gaps = [f - 2 * p * r / (p + r) for f, p, r in known]
    off = [gap for gap in gaps if abs(gap) > 1.1 * 10**-digits]  # three numbers are rounded, each by half a digit
    if len(off) * 2 <= len(known):
        return None
    text = (
        f"In {len(off)} of {len(known)} rows F1 is not the harmonic mean of the precision and recall beside it (by "
        f"{min(off):+.4f} to {max(off):+.4f}): it is averaged in another way, which the table does not say."
    )
    return Alarm("averaging_unknown", text, "say whether metrics are averaged over items, classes or queries")


def _granularity(source: Source, columns: Columns, evidence: Evidence) -> Alarm | None:
    n = inferred_examples(source, columns)
    if n is None or n != evidence.evaluation.size:
        return None
    text = f"All scores are whole parts of {n}, and so were measured on {n} examples: one example is {1 / n:.3f}."
    return Alarm("few_examples", text, "a larger evaluation set; --n tells another number of examples")


def _part(evidence: Evidence) -> Alarm | None:
    sizes = [len(levels) for levels in evidence.space.levels.values() if len(levels) > 1]
    combinations, present = math.prod(sizes), len(evidence.configurations)
    if not sizes or not present < combinations <= _PART * present:
        return None
    product = " x ".join(map(str, sizes))
    text = (
        f"The table has {present} of the {product} = {combinations} combinations of its own levels. If these are the "
        "best rows of a larger table, their scores are selected, and the others are needed."
    )
    return Alarm("part_of_a_table", text, "audit the whole table")
