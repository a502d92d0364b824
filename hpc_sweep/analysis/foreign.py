"""A results table of any origin as the evidence of a sweep: which columns are what, and what every cell says.

::

    name       seed  dropout  lr     ood/f1   git_commit
    a name     the   what was varied metric   what tells versions apart
    for people replicate
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.front import DOWNWARD, UPWARD
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.errors import UserError
from hpc_sweep.ledger import Identity, Ledger, Row
from hpc_sweep.objective import Objective
from hpc_sweep.plan import Plan
from hpc_sweep.records import digest
from hpc_sweep.trial import Status, Trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNKNOWN_SPLIT = "unknown"
_REPLICATES = ("seed", "seeds", "replicate", "random_seed", "random_state", "rep", "fold")
_CODE = frozenset({"git_commit", "commit", "code", "git_sha", "revision"})
_NUMBERS = frozenset({"", "#", "id", "run", "run_id", "rank", "number", "trial", "index", "no"})
_NOT_VARIED = frozenset(
    {
        "name",
        "timestamp",
        "time",
        "date",
        "created",
        "started",
        "ended",
        "seconds",
        "duration",
        "runtime",
        "device",
        "host",
        "hostname",
        "node",
        "status",
        "state",
        "error",
        "threshold",
        "experiments",
        "experiment",
        "url",
        "n",
        "count",
    }
)
_CELL = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)\s*(?:(?:±|\+/-|\+-)\s*(\d*\.?\d+)\s*%?)?\s*")
_BOLD = re.compile(r"^\*+|\*+$")
_PERCENT = 100
_MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Source:
    """A table as text: the names of its columns, and its rows with the numbers of their lines."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    uneven: tuple[int, ...]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        at = self.header.index(name)
        return [row[at] for row in self.rows]


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are."""

    metric: str
    others: tuple[str, ...]
    params: tuple[str, ...]
    replicate: str | None
    code: str | None


@dataclass(frozen=True)
class Number:
    """What a cell says: its value, whether it was given in percent, and the spread behind a ``±``."""

    value: float
    percent: bool
    spread: float | None


def read_source(text: str, name: str) -> Source:
    """Read comma, semicolon, tab or pipe separated text with one line of names; raise UserError for anything else."""
    if len(text) > _MOST_BYTES:
        raise UserError("The table is larger than 256 MiB.", where=f"File: {name}", next_step="Give a part of it.")
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=_delimiter(lines)))
    if len(rows) < 2:  # noqa: PLR2004 because the first line has the names
        raise UserError("The table has no rows below its line of names.", where=f"File: {name}")
    header = tuple(_plain(title) for title in rows[0])
    twice = sorted({title for title in header if header.count(title) > 1 and title})
    if twice:
        raise UserError(
            f"Two columns are called '{twice[0]}'.",
            where=f"File: {name}",
            next_step="Give every column a name of its own.",
        )
    uneven = tuple(number for number, row in enumerate(rows[1:], start=2) if len(row) != len(header))
    padded = tuple(tuple(map(_plain, (*row, *[""] * len(header))[: len(header)])) for row in rows[1:])
    return Source(name, header, padded, uneven)


def find_columns(source: Source, metric: str, params: Sequence[str], replicate: str | None) -> Columns:
    """Return what each column is: as named, else as its name and content tell. UserError names what is not there."""
    found = _named(source, metric, "metric")
    others = tuple(name for name in source.header if name != found and _is_metric(name) and _numeric(source, name))
    key = _named(source, replicate, "replicate") if replicate else _first(source, _REPLICATES)
    code = next((name for name in source.header if name.lower() in _CODE), None)
    if params:
        varied = tuple(_named(source, name, "params") for name in params)
    else:
        taken = {found, *others, key, code}
        varied = tuple(name for name in source.header if name not in taken and _is_varied(source, name))
    if not varied:
        raise UserError(
            "No column of the table looks like a hyperparameter.",
            where=f"File: {source.name}; its columns are {', '.join(source.header)}",
            next_step="Type --params with the columns that were varied, separated by commas.",
        )
    return Columns(found, tuple(name for name in others if name not in varied), varied, key, code)


def evidence_of(source: Source, columns: Columns, mode: str, examples: int | None) -> Evidence:
    """Return the table as evidence: one trial for each row, by its place; a cell without a number is no score."""
    metric = metric_key(columns.metric)
    objective = Objective(metric=metric, mode=mode, at="last", replicate=columns.replicate)
    sha = digest([source.header, source.rows])
    identity = Identity(sha[:16], objective, "", {}, sha, {}, "")
    rows = tuple(_row(source, columns, at, examples) for at in range(len(source.rows)))
    return Evidence.of(Ledger(identity, Plan(()), rows, (), (), {}))


def named_levels(source: Source, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return levels by the table's own column names; UserError for a name that it has not."""
    return {_named(source, name, "carried"): value for name, value in asked.items()}


def metric_key(name: str) -> str:
    """Return a column's name as ``split/name``; one that tells no split has an unknown one.

    >>> metric_key("ood/f1"), metric_key("Val Accuracy"), metric_key("F1")
    ('ood/f1', 'val/accuracy', 'unknown/f1')
    """
    plain = re.sub(r"[\s_]+", "_", name.strip().lower())
    if "/" in plain.strip("/"):
        return plain
    split, _, rest = plain.partition("_")
    if rest and split in {"val", "valid", "validation", "test", "train", "ood", "iid", "dev", "holdout"}:
        return f"{'val' if split.startswith('val') else split}/{rest}"
    return f"{UNKNOWN_SPLIT}/{plain}"


def number(cell: str) -> Number | None:
    """Return the number in a cell, None where there is none.

    >>> number("82.84%"), number("0.950 ± 0.065").spread, number("n/a")
    (Number(value=0.8284, percent=True, spread=None), 0.065, None)
    """
    found = _CELL.fullmatch(cell)
    if not found:
        return None
    value, percent, spread = float(found[1]), bool(found[2]), found[3]
    scaled = round(value / _PERCENT, 12) if percent else value
    return Number(scaled, percent, float(spread) / (_PERCENT if percent else 1) if spread else None)


def level(cell: str) -> Any:  # noqa: ANN401 because a level may be a number or text
    """Return a level of a hyperparameter: a number where the cell is one, None for an empty cell, else text."""
    found = number(cell)
    if found is None or found.percent or found.spread is not None:
        return cell or None
    return int(found.value) if re.fullmatch(r"[-+]?\d+", cell) else found.value


def _row(source: Source, columns: Columns, at: int, examples: int | None) -> Row:
    cells = dict(zip(source.header, source.rows[at], strict=True))
    params = {name: level(cells[name]) for name in columns.params}
    replicate = level(cells[columns.replicate]) if columns.replicate else None
    values = {metric_key(name): number(cells[name]) for name in (columns.metric, *columns.others)}
    metrics = {name: one.value for name, one in values.items() if one is not None and math.isfinite(one.value)}
    split = metric_key(columns.metric).partition("/")[0]
    extras: dict[str, Any] = {"n": {split: examples}} if examples else {}
    code = cells[columns.code] if columns.code else ""
    result = {"outcome": "completed", "metrics": metrics, "curves": {}, "extras": extras, "note": "", "code": code}
    overrides = tuple(f"{name}={cells[name]}" for name in columns.params)
    trial = Trial(at + 1, digest([source.rows[at], at]), overrides, params, replicate, ())
    return Row(trial, Status.COMPLETED, result, None, 0)


def _delimiter(lines: Sequence[str]) -> str:
    """Return the separator that the line of names holds most often."""
    return max(",;\t|", key=lambda one: lines[0].count(one) if lines else 0)


def _plain(cell: str) -> str:
    return _BOLD.sub("", cell.strip()).strip()


def _named(source: Source, name: str, option: str) -> str:
    for candidate in source.header:
        if name == candidate or metric_key(name) == metric_key(candidate):
            return candidate
    raise UserError(
        f"The table has no column '{name}'.",
        where=f"File: {source.name}; its columns are {', '.join(source.header)}",
        next_step=f"Type --{option} with one of these.",
    )


def _first(source: Source, names: Sequence[str]) -> str | None:
    lower = {title.lower(): title for title in source.header}
    return next((lower[name] for name in names if name in lower), None)


def _is_metric(name: str) -> bool:
    split, _, last = metric_key(name).partition("/")
    return split != UNKNOWN_SPLIT or last in UPWARD or last in DOWNWARD


def _numeric(source: Source, name: str) -> bool:
    return any(number(cell) is not None for cell in source.column(name))


def _is_varied(source: Source, name: str) -> bool:
    """Tell whether a column can be a hyperparameter: neither an identifier nor a note."""
    plain = name.lower().replace(" ", "_")
    cells = source.column(name)
    if plain in _NOT_VARIED or not any(cells):
        return False
    if plain in _NUMBERS:
        return False
    numeric = all(number(cell) is not None for cell in cells if cell)
    return numeric or len(set(cells)) < len(cells)


def welch(one: tuple[float, float, int], other: tuple[float, float, int]) -> tuple[float, float]:
    """Return t and degrees of freedom of the difference of two means, each (mean, sd, n) (Welch 1947)."""
    parts = [sd**2 / n for _, sd, n in (one, other)]
    df = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, (_, _, n) in zip(parts, (one, other), strict=True))
    return (one[0] - other[0]) / math.sqrt(sum(parts)), df


def describe(columns: Columns) -> Mapping[str, str]:
    """Return what the columns were taken for, in words."""
    return {
        "metric": columns.metric,
        "hyperparameters": ", ".join(columns.params) or "none",
        "replicate": columns.replicate or "none",
        "other metrics": ", ".join(columns.others) or "none",
    }
