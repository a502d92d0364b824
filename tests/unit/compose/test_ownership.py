"""Whose folder it is, and what of it is moved aside for another sweep."""

from __future__ import annotations

from hpc_sweep import paths
from hpc_sweep.analysis.decision import decide_evidence
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.compose.ownership import move_aside
from hpc_sweep.ledger import read_ledger
from hpc_sweep.report.choice import choose
from hpc_sweep.report.collect import collect
from tests.builders import build


def test_nothing_of_the_old_sweep_stays_behind(tmp_path):
    """All that a sweep wrote is moved, a person's choice among it: it would be another sweep's."""
    sweep = build(tmp_path / "s", {"x": [1, 2]}, lambda p, _: p["x"] / 10)
    evidence = Evidence.of(read_ledger(sweep))
    choose(sweep, evidence, decide_evidence(evidence), 1, "smaller")
    collect(sweep)
    before = {path.name for path in sweep.root.iterdir()}

    place = move_aside(sweep)

    assert "choice.json" in before
    assert {path.name for path in place.iterdir()} == before
    assert list(sweep.root.iterdir()) == [paths.Sweep(sweep.root).previous]
