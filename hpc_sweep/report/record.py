"""What stands behind the judgement: failures, coverage, cost and provenance."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from hpc_sweep.analysis.table import error_text, level_text
from hpc_sweep.report import charts
from hpc_sweep.report.document import Cell, Code, Figure, Link, Paragraph, Table, figure, line, words
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.analysis.table import Evidence
    from hpc_sweep.report.document import Block, Line
    from hpc_sweep.report.drawing import Picture
    from hpc_sweep.trial import Trial

_FAILURES = 50
_ERROR, _FACT = 300, 2000
TRIALS_CSV = Link("trials.csv", "../merged/trials.csv")
CURVES_CSV = Link("curves.csv", "../merged/curves.csv")


def failures(evidence: Evidence) -> list[Block]:
    """Return the trials that failed or diverged, each with what it said."""
    ended = [row for row in evidence.ledger.rows if row.status in {Status.FAILED, Status.DIVERGED}]
    if not ended:
        return []
    rows = [
        (
            figure(row.trial.number, str(row.trial.number)),
            words(row.status.value),
            Cell(_params(evidence, row.trial)),
            words(_shortened(error_text(row), _ERROR)),
        )
        for row in ended[:_FAILURES]
    ]
    blocks: list[Block] = [Table("failures", _header("run", "status", "configuration", "reason"), tuple(rows))]
    if len(ended) > _FAILURES:
        blocks.append(Paragraph(line(f"{len(ended) - _FAILURES} more are in ", TRIALS_CSV, ".")))
    return blocks


def coverage(evidence: Evidence, pictures: Mapping[str, Picture]) -> list[Block]:
    """Return how many trials stand where."""
    counts = evidence.ledger.counts
    rows = [(words(status), figure(count, str(count))) for status, count in counts.items() if count]
    total = sum(counts.values())
    rows.append((words("planned in all"), figure(total, str(total))))
    return [*picture(pictures, charts.COVERAGE), Table("coverage", _header("status", "trials"), tuple(rows))]


def cost(evidence: Evidence, pictures: Mapping[str, Picture]) -> list[Block]:
    """Return the time that the trials took, and what a configuration cost."""
    seconds = sorted(charts.seconds_of(evidence).values())
    if not seconds:
        return []
    total, middle = math.fsum(seconds), seconds[len(seconds) // 2]
    spent = f"{total:.1f} trial seconds ({total / 3600:.2f} hours) over {len(seconds)} trials"
    told = f"{spent}; one took {seconds[0]:.1f} to {seconds[-1]:.1f} s, median {middle:.1f} s."
    return [Paragraph(line(told)), *picture(pictures, charts.COST)]


def provenance(evidence: Evidence, decision: Decision) -> list[Block]:
    """Return where the numbers come from."""
    identity = evidence.ledger.identity
    results = [one.result for one in evidence.observations if one.result]
    facts = {
        "objective": ", ".join(f"{name} {value}" for name, value in decision.objective.items()),
        "code": ", ".join(f"{name} {level_text(value)}" for name, value in identity.code.items()),
        "data": identity.data,
        "versions": ", ".join(f"{name} {value}" for name, value in identity.versions.items()),
        "devices": _tally(result.get("device") for result in results),
        "threads": _tally(result.get("threads") for result in results),
        "log entries read": ", ".join(f"{log} {last}" for log, last in decision.inputs.items()),
    }
    rows = [(words(name), words(_shortened(value, _FACT))) for name, value in facts.items() if value]
    files = line("The numbers: ", TRIALS_CSV, ", ", CURVES_CSV, ", ", Link("decision.json", "decision.json"), ".")
    return [Table("provenance", _header("what", "value"), tuple(rows)), Paragraph(files)]


def picture(pictures: Mapping[str, Picture], name: str) -> list[Block]:
    """Return a picture as a block, if it was drawn."""
    return [Figure(pictures[name])] if name in pictures else []


def configuration_line(params: Mapping[str, object]) -> Line:
    """Return a configuration as names and values to type."""
    parts = [Code(f"{name}={level_text(value)}") for name, value in params.items()]
    joined = [piece for part in parts for piece in (", ", part)][1:]
    return tuple(joined) or ("the only configuration",)


def _header(*titles: str) -> tuple[Line, ...]:
    return tuple((title,) for title in titles)


def _params(evidence: Evidence, trial: Trial) -> Line:
    return configuration_line({name: trial.params[name] for name in evidence.space.levels if name in trial.params})


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _tally(values: Iterable[object]) -> str:
    counts = Counter(level_text(value) for value in values if value not in {None, ""})
    return ", ".join(f"{value} ({count} trials)" for value, count in sorted(counts.items()))
