"""A results table of any origin as the evidence of a sweep: one trial for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.cells import LARGEST, is_meant_as_number, level, number
from hpc_sweep.analysis.columns import metric_key, named
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.errors import UserError
from hpc_sweep.ledger import Identity, Ledger, Row
from hpc_sweep.objective import Objective
from hpc_sweep.plan import Plan
from hpc_sweep.records import digest
from hpc_sweep.trial import Status, Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep.analysis.columns import Columns
    from hpc_sweep.analysis.source import Source

_SHOWN = 40


def evidence_of(source: Source, columns: Columns, mode: str, examples: int | None) -> Evidence:
    """Return the table as evidence: one trial for each row, by its place; a word or an empty cell is no score.

    UserError for a score that is meant as a number and cannot be read or compared as one.
    """
    _refuse_unreadable(source, columns.metric)
    for name in columns.keys:
        _refuse_boundless(source, name)
    metric = metric_key(columns.metric)
    objective = Objective(metric=metric, mode=mode, at="last", replicate=columns.replicate)
    sha = digest([source.header, source.rows])
    identity = Identity(sha[:16], objective, "", {}, sha, {}, "")
    rows = tuple(_row(source, columns, at, examples) for at in range(len(source.rows)))
    return Evidence.of(Ledger(identity, Plan(()), rows, (), (), {}))


def named_levels(source: Source, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return levels by the table's own column names; UserError for a name that it has not."""
    return {named(source, name, "carried"): value for name, value in asked.items()}


def _row(source: Source, columns: Columns, at: int, examples: int | None) -> Row:
    cells = dict(zip(source.header, source.rows[at], strict=True))
    params = {name: level(cells[name]) for name in columns.params}
    replicate = level(cells[columns.replicate]) if columns.replicate else None
    values = {key: number(cells[name]) for name, key in columns.keys.items()}
    metrics = {name: one.value for name, one in values.items() if one is not None}
    split = metric_key(columns.metric).partition("/")[0]
    extras: dict[str, Any] = {"n": {split: examples}} if examples else {}
    code = cells[columns.code] if columns.code else ""
    result = {"outcome": "completed", "metrics": metrics, "curves": {}, "extras": extras, "note": "", "code": code}
    overrides = tuple(f"{name}={cells[name]}" for name in columns.params)
    trial = Trial(at + 1, digest([source.rows[at], at]), overrides, params, replicate, ())
    return Row(trial, Status.COMPLETED, result, None, 0)


def _refuse_unreadable(source: Source, name: str) -> None:
    """Raise UserError for a score that begins like a number and is none, or for a column without any number."""
    cells = source.column(name)
    texts = [at for at, cell in enumerate(cells) if cell and number(cell) is None]
    wrong = [at for at in texts if is_meant_as_number(cells[at])]
    if wrong:
        raise _unfit(source, wrong[0], f"{_shown(cells[wrong[0]])} in column '{name}' is no number")
    if not any(map(number, cells)):
        what = f": it begins with {_shown(cells[texts[0]])}" if texts else ": all its cells are empty"
        raise _unfit(source, texts[0] if texts else 0, f"The column '{name}' has no number{what}")


def _refuse_boundless(source: Source, name: str) -> None:
    for at, cell in enumerate(source.column(name)):
        found = number(cell)
        if found is not None and max(abs(found.value), found.spread or 0.0) > LARGEST:
            raise _unfit(source, at, f"{_shown(cell)} in column '{name}' is beyond what can be compared ({LARGEST:g})")


def _shown(cell: str) -> str:
    text = " ".join(cell.split())
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}…'"


def _unfit(source: Source, at: int, what: str) -> UserError:
    return UserError(
        f"{what}.",
        where=f"File: {source.name}, line {source.lines[at]}",
        next_step="Write each score as 1234.5 and leave a missing one empty; for decimal commas, separate the cells by "
        "semicolons or tabs and have no decimal points in other columns.",
    )
