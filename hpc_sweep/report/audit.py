"""The decision and the report for a results table of any origin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.cells import level
from hpc_sweep.analysis.columns import describe, find_columns
from hpc_sweep.analysis.decision import Decision, decide_evidence
from hpc_sweep.analysis.foreign import evidence_of, named_levels
from hpc_sweep.analysis.naming import counted
from hpc_sweep.analysis.source import decode, read_source
from hpc_sweep.analysis.suspicions import carried, inferred_examples, suspicions
from hpc_sweep.analysis.table import Evidence, label
from hpc_sweep.errors import UserError
from hpc_sweep.report import charts
from hpc_sweep.report.collect import files, write
from hpc_sweep.report.story import Report
from hpc_sweep.report.wording import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.analysis.alarms import Alarm

_REMEDIES = {
    "metric_missing": "a score in every row",
    "missing_cells": "runs of the cells that are missing",
    "one_replicate": "more replicates of these configurations",
    "ragged_replicates": "as many replicates of each configuration",
    "identical_replicates": "a seed that the runs do use",
    "selected_on_test": "a validation score to choose by, and the test set once, at the end",
    "metrics_disagree": "say which metric counts, and the least that the others must keep",
    "mixed_code": "runs of one version of the code",
    "edge_of_grid": "runs with levels beyond the edge",
    "winner_diverged": "more replicates of this configuration",
    "small_evaluation_set": "a larger evaluation set",
    "stands_out": "new replicates of this configuration",
    "collapsed": "nothing, or narrower ranges",
    "diverged_configurations": "a lower learning rate",
    "equal_outcomes": "one level of it is enough: leave the others out",
}
"""What mends a table, where the alarm of a sweep says what to type for one more of its jobs."""


@dataclass(frozen=True)
class Question:
    """What is asked of a table; ``carried`` is a configuration that somebody carries forward."""

    metric: str
    mode: str
    params: Sequence[str] = ()
    replicate: str | None = None
    examples: int | None = None
    carried: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Audit:
    """The answer: what the columns were taken for, the evidence, and the decision with the table's own alarms."""

    name: str
    columns: Mapping[str, str]
    evidence: Evidence
    decision: Decision


def audit(path: Path, question: Question) -> Audit:
    """Judge the table in a file; UserError when it cannot be read or lacks what was asked for."""
    source = read_source(_text(path), path.name)
    columns = find_columns(source, question.metric, question.params, question.replicate)
    examples = question.examples or inferred_examples(source, columns)
    evidence = evidence_of(source, columns, question.mode, examples)
    decision = decide_evidence(evidence)
    found = suspicions(source, columns, evidence)
    if question.carried and decision.winner is not None:
        found.append(carried(evidence, decision, named_levels(source, question.carried)))
    alarms = (*found, *map(_of_a_table, _without_twins(found, decision.alarms)))
    return Audit(path.name, describe(source, columns), evidence, replace(decision, alarms=alarms))


def refuse_sweep(output: paths.Sweep) -> None:
    """Raise UserError for the folder of a sweep: an audit would replace its decision and remove its winner."""
    if output.identity.exists():
        raise UserError(
            "An audit is not written into the folder of a sweep: that has a decision of its own.",
            where=f"Folder: {output.root}",
            next_step="Type --output with another folder.",
        )


def write_audit(answer: Audit, output: paths.Sweep) -> None:
    """Write tables, pictures, report and decision into a folder; UserError for that of a sweep."""
    refuse_sweep(output)
    pictures = charts.pictures(answer.evidence, answer.decision)
    report = Report(answer.evidence, answer.decision, pictures, None, output.root.resolve(), answer.name)
    output.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(output, files(output, report, None))


def audit_lines(answer: Audit) -> list[str]:
    """Return what a person at a terminal is told."""
    decision, metric = answer.decision, answer.evidence.objective.metric
    lines = [f"{name.capitalize() + ':':18}{value}" for name, value in answer.columns.items()]
    lines.append(f"{'Rows:':18}{decision.coverage['planned']}, {len(answer.evidence.configurations)} configurations")
    if decision.winner is None:
        lines.append(f"{'Winner:':18}none. {decision.rule}")
    else:
        winner = decision.winner
        shrunk = f", shrunk {number(winner.shrunk)}" if winner.shrunk is not None else ""
        lines.append(
            f"{'Pick:':18}{label(winner.configuration)}: {metric} {number(winner.mean)} (n = {winner.n}){shrunk}"
        )
        tied = counted(len(decision.tie_set) - 1, "other is", "others are")
        verdict = f"{decision.verdict.replace('_', ' ')}; {tied} tied with it"
        lines.append(f"{'Verdict:':18}{verdict}. {decision.evidence['reason']}")
    lines += [f"{'Alarm:':18}{alarm.kind.replace('_', ' ')}: {alarm.text}" for alarm in decision.alarms]
    lines += [
        f"{one.grade.capitalize() + ':':18}{one.text}" for one in decision.deductions if one.grade != "not resolved"
    ]
    return lines


def assignments(text: str) -> dict[str, Any]:
    """Read `lr=0.001,dropout=0.25` as levels; UserError for anything else."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not pairs or not all(name.strip() and sign for name, sign, _ in pairs):
        raise UserError(f"'{text}' is no configuration.", next_step="Type it as lr=0.001,dropout=0.25")
    return {name.strip(): level(value.strip()) for name, _, value in pairs}


def _without_twins(found: Sequence[Alarm], alarms: Sequence[Alarm]) -> list[Alarm]:
    """Leave out the alarm of an incomplete plan where the table is told to be a part of one."""
    told = any(alarm.kind == "part_of_a_table" for alarm in found)
    return [alarm for alarm in alarms if not (told and alarm.kind == "incomplete_grid")]


def _of_a_table(alarm: Alarm) -> Alarm:
    return replace(alarm, remedy=_REMEDIES.get(alarm.kind, alarm.remedy))


def _text(path: Path) -> str:
    try:
        return decode(path.read_bytes(), path.name)
    except OSError as error:
        raise UserError(f"The table cannot be read: {error.strerror}.", where=f"File: {path}") from None
