"""What the columns of a table are: as somebody names them, else as their names and contents tell.

::

    name       seed  dropout  lr     ood/f1   git_commit
    a name     the   what was varied metric   what tells versions apart
    for people replicate
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.cells import level, number
from hpc_sweep.analysis.front import DOWNWARD, UPWARD
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpc_sweep.analysis.source import Source

UNKNOWN_SPLIT = "unknown"
_REPLICATES = ("seed", "seeds", "replicate", "random_seed", "random_state", "rep", "fold")
_CODE = frozenset({"git_commit", "commit", "code", "git_sha", "revision"})
_NUMBERS = frozenset({"", "#", "id", "run", "run_id", "rank", "number", "trial", "index", "no"})
_NOT_VARIED = frozenset(
    {
        "name",
        "run_name",
        "trial_name",
        "experiment_name",
        "display_name",
        "trial_id",
        "experiment_id",
        "uuid",
        "timestamp",
        "time",
        "date",
        "created",
        "created_at",
        "start_time",
        "end_time",
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
        "note",
        "notes",
        "comment",
        "comments",
        "description",
        "threshold",
        "experiments",
        "experiment",
        "url",
        "n",
        "count",
    }
)
_STAMP = re.compile(r"\d{4}-\d\d-\d\d.*|\w+://.*")


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are; ``unused`` are those that nothing is made of."""

    metric: str
    others: tuple[str, ...]
    params: tuple[str, ...]
    replicate: str | None
    code: str | None
    unused: tuple[str, ...]

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """The metric of each column of scores as ``split/name``: no two columns share one, and the judged is first."""
        keys: dict[str, str] = {}
        for name in (self.metric, *self.others):
            key = metric_key(name)
            own = name if "/" in name else f"{key.partition('/')[0]}/{name}"
            keys[name] = own if key in keys.values() else key
        return keys


def find_columns(source: Source, metric: str, params: Sequence[str], replicate: str | None) -> Columns:
    """Return what each column is; UserError for one that is not there, has two meanings, or may have another."""
    judged = named(source, metric, "metric")
    repeats = named(source, replicate, "replicate") if replicate else _first(source, _REPLICATES)
    asked = tuple(dict.fromkeys(named(source, name, "params") for name in params))
    _refuse_two_meanings(source, judged, repeats, asked)
    left = [name for name in source.header if name not in {judged, repeats, *asked}]
    others = tuple(name for name in left if _is_metric(name) and _numeric(source, name))
    code = next((name for name in left if name.lower() in _CODE), None)
    left = [name for name in left if name not in {code, *others}]
    varied = asked or _varied(source, repeats, left)
    unused = tuple(dict.fromkeys(name for name in left if name not in varied))
    return Columns(judged, others, varied, repeats, code, unused)


def named(source: Source, name: str, option: str) -> str:
    """Return the column of this name, else the one that means the same; UserError unless there is one."""
    found = [title for title in source.header if metric_key(title) == metric_key(name)]
    if name in source.header or len(found) == 1:
        return name if name in source.header else found[0]
    titles = "' or '".join(found)
    raise UserError(
        f"'{name}' may be '{titles}'." if found else f"The table has no column '{name}'.",
        where=f"File: {source.name}; its columns are {', '.join(source.header)}",
        next_step=f"Type --{option} with one of these.",
    )


def describe(source: Source, columns: Columns) -> Mapping[str, str]:
    """Return what the columns were taken for, in words."""
    constant = {name: source.column(name)[0] for name in columns.params if len(set(source.column(name))) == 1}
    told = {
        "metric": columns.metric,
        "hyperparameters": ", ".join(name for name in columns.params if name not in constant) or "none",
        "constant": ", ".join(f"{name}={cell}" for name, cell in constant.items()),
        "replicate": columns.replicate or "none",
        "other metrics": ", ".join(columns.others) or "none",
        "not used": ", ".join(name or "(a column without a name)" for name in columns.unused),
    }
    return {name: text for name, text in told.items() if text}


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


def _refuse_two_meanings(source: Source, judged: str, repeats: str | None, asked: Sequence[str]) -> None:
    roles = (("the metric", (judged,)), ("the replicate", (repeats,)), ("a hyperparameter", asked))
    for (one, some), (other, more) in itertools.combinations(roles, 2):
        both = [name for name in some if name in more]
        if both:
            raise UserError(
                f"'{both[0]}' cannot be both {one} and {other}.",
                where=f"File: {source.name}; its columns are {', '.join(source.header)}",
                next_step="Name another column with --metric, --replicate or --params.",
            )


def _varied(source: Source, repeats: str | None, left: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that look like hyperparameters; UserError for none, or where another one may be missing."""
    varied = tuple(name for name in left if _is_varied(source, name))
    if not varied:
        raise UserError(
            "No column of the table looks like a hyperparameter.",
            where=f"File: {source.name}; its columns are {', '.join(source.header)}",
            next_step="Type --params with the columns that were varied, separated by commas.",
        )
    doubtful = [name for name in left if name not in varied and _is_doubtful(source, name)]
    if doubtful:
        _refuse_doubt(source, varied, repeats, doubtful)
    return varied


def _refuse_doubt(source: Source, varied: Sequence[str], repeats: str | None, doubtful: Sequence[str]) -> None:
    """Raise UserError for two rows that only a text tells apart: a level that ran once, or a name of a rerun."""
    alike = _alike(source, (*varied, *([repeats] if repeats else ())))
    if alike is None:
        return
    texts = " and ".join(f"'{name}' ({', '.join(source.column(name)[at] for at in alike)})" for name in doubtful)
    raise UserError(
        f"Only {texts} tells two rows apart: it may be a hyperparameter, or a name of each run.",
        where=f"File: {source.name}, lines {' and '.join(str(source.lines[at]) for at in alike)}",
        next_step=f"Type --params {_typed((*varied, doubtful[0]))} if it was varied, else --params {_typed(varied)}",
    )


def _typed(names: Iterable[str]) -> str:
    return shlex.quote(",".join(names))


def _alike(source: Source, names: Sequence[str]) -> tuple[int, int] | None:
    """Return the first two rows with the same levels in all of these columns."""
    seen: dict[tuple[Any, ...], int] = {}
    for at, levels in enumerate(zip(*(map(level, source.column(name)) for name in names), strict=True)):
        if levels in seen:
            return seen[levels], at
        seen[levels] = at
    return None


def _first(source: Source, names: Sequence[str]) -> str | None:
    lower = {title.lower(): title for title in source.header}
    return next((lower[name] for name in names if name in lower), None)


def _is_metric(name: str) -> bool:
    split, _, last = metric_key(name).partition("/")
    return split != UNKNOWN_SPLIT or last in UPWARD or last in DOWNWARD


def _numeric(source: Source, name: str) -> bool:
    return any(number(cell) is not None for cell in source.column(name))


def _is_varied(source: Source, name: str) -> bool:
    """Tell whether a column is taken for a hyperparameter: numbers, or text of which some stands twice."""
    cells = source.column(name)
    return _may_vary(source, name) and (_is_all_numbers(cells) or len(set(cells)) < len(cells))


def _is_doubtful(source: Source, name: str) -> bool:
    """Tell whether a column of text, different in every row, may be a hyperparameter or may name the runs."""
    return _may_vary(source, name) and not all(_STAMP.fullmatch(cell) for cell in source.column(name) if cell)


def _may_vary(source: Source, name: str) -> bool:
    """Tell whether a column can be a hyperparameter: neither an identifier nor a note."""
    return name.lower().replace(" ", "_") not in _NOT_VARIED | _NUMBERS and any(source.column(name))


def _is_all_numbers(cells: Iterable[str]) -> bool:
    return all(number(cell) is not None for cell in cells if cell)
