"""The report as a document: which sections there are, in which order; the words are in the modules it calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpc_sweep.report import boards, pick, record
from hpc_sweep.report.document import Code as CodeText
from hpc_sweep.report.document import Document, Section, line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.analysis.table import Evidence
    from hpc_sweep.report.document import Block
    from hpc_sweep.report.drawing import Picture


@dataclass(frozen=True)
class Report:
    """Everything that one report is written from; ``origin`` is what was audited where it was no sweep."""

    evidence: Evidence
    decision: Decision
    pictures: Sequence[Picture]
    configuration: Mapping[str, Any] | None
    folder: Path
    origin: str = ""

    def document(self) -> Document:
        """Return the whole report; a section that has nothing to say is left out."""
        coverage, identity = self.decision.coverage, self.evidence.ledger.identity
        ended = coverage["planned"] - coverage["missing"]
        counts = ", ".join(f"{count} {name}" for name, count in coverage.items() if count and name != "planned")
        planned = f"{coverage['planned']} trials planned: {counts or 'none'}. Sweep "
        if self.origin:
            return Document(
                title=f"Audit: {self.evidence.objective.metric}",
                partial="",
                lead=line(f"{coverage['planned']} rows of ", CodeText(self.origin), "."),
                sections=tuple(section for section in self._sections() if section.blocks),
            )
        return Document(
            title=f"Sweep report: {self.evidence.objective.metric}",
            partial=f"PARTIAL {ended}/{coverage['planned']}" if coverage["missing"] else "",
            lead=line(planned, CodeText(identity.sweep), f", planned {identity.created}."),
            sections=tuple(section for section in self._sections() if section.blocks),
        )

    def _sections(self) -> tuple[Section, ...]:
        evidence, decision, pictures = self.evidence, self.decision, {one.name: one for one in self.pictures}
        return (
            pick.section(evidence, decision),
            _section("optimized", "Optimized configuration", pick.optimized(decision, self.configuration, self.folder)),
            _section("alarms", "Alarms", pick.alarms(decision)),
            _section("leaderboard", "Leaderboard", boards.leaderboard(evidence, decision, pictures)),
            _section("deductions", "Deductions", boards.deductions(decision, pictures)),
            _section("hyperparameters", "Hyperparameters", boards.hyperparameters(evidence, pictures)),
            _section("parallel", "Parallel coordinates", boards.parallel(pictures)),
            _section("curves", "Learning curves", boards.curves(evidence, decision, pictures)),
            _section("fit", "Train against validation", boards.fit(pictures)),
            _section("cost", "Cost", record.cost(evidence, pictures)),
            _section("confusion", "Confusion matrix", boards.confusion(pictures)),
            _section("front", "Several metrics", boards.front(decision, pictures)),
            _section("failures", "Failures", record.failures(evidence)),
            _section("coverage", "Coverage", record.coverage(evidence, pictures)),
            _section("provenance", "Provenance", record.provenance(evidence, decision)),
        )


def _section(name: str, title: str, blocks: Sequence[Block]) -> Section:
    return Section(name, title, tuple(blocks))
