"""Merge, decide, report: from the logs of a sweep to its derived files, at any time and twice at once.

Nothing here is a record. Every file is replaced whole, `decision.json` last: whoever finds it finds the rest. It says
by its ``inputs`` what it was made from; of two collectors the one that has read less gives way.
"""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.analysis.decision import Decision, decide_evidence
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.errors import CorruptRecordError
from hpc_sweep.ledger import read_ledger
from hpc_sweep.report import charts
from hpc_sweep.report.markdown import Report
from hpc_sweep.report.tables import write_tables
from hpc_sweep.report.winner import winning_configuration, write_winner

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.ledger import Ledger
    from hpc_sweep.report.drawing import Picture


def collect(sweep: paths.Sweep, *, over: Collection[int] = ()) -> Decision:
    """Write the tables, pictures, report, winner and decision of a sweep as far as it is, and return the decision.

    `over` are the shards whose jobs are known to have ended. The same records give the same bytes.
    """
    overtaken = False
    while True:
        ledger = read_ledger(sweep, over=over)
        newer = _newer(sweep, ledger.inputs)
        if newer is not None and not overtaken:
            return Decision.parse(newer)
        decision = _write_derived(sweep, ledger)
        # A collector that read more has finished meanwhile, and its files may be overwritten by now: once more.
        overtaken = _newer(sweep, ledger.inputs) is not None
        if not overtaken:
            records.replace(sweep.decision_json, decision_text(decision))
            return decision


def decision_text(decision: Decision) -> str:
    """Return the text of `decision.json`."""
    text = json.dumps(decision.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    # The escape of a lone surrogate, which has no UTF-8, is the same in JSON.
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _write_derived(sweep: paths.Sweep, ledger: Ledger) -> Decision:
    evidence = Evidence.of(ledger)
    decision = decide_evidence(evidence)
    write_tables(sweep, ledger)
    pictures = charts.pictures(evidence, decision)
    _write_pictures(sweep, pictures)
    content = winning_configuration(ledger, decision)
    report = Report(evidence, decision, pictures, content, sweep.root.resolve())
    records.replace(sweep.report_md, report.markdown())
    write_winner(sweep, ledger, decision)
    return decision


def _newer(sweep: paths.Sweep, inputs: Mapping[str, int]) -> Mapping[str, Any] | None:
    """Return the decision that stands, if it was made from all of these inputs and more."""
    try:
        standing: Mapping[str, Any] = records.read_json(sweep.decision_json)
        theirs = standing["inputs"]
        covers = all(theirs.get(log, 0) >= number for log, number in inputs.items())
    except (FileNotFoundError, CorruptRecordError, KeyError, TypeError, AttributeError):
        return None  # a derived file that cannot be read is simply made again
    return standing if covers and dict(theirs) != dict(inputs) else None


def _write_pictures(sweep: paths.Sweep, pictures: Sequence[Picture]) -> None:
    for folder in (sweep.decision, sweep.plots):
        folder.mkdir(exist_ok=True, mode=0o700)
    for picture in pictures:
        _replace_bytes(sweep.plots / picture.name, picture.png())
    for name in {*charts.NAMES} - {picture.name for picture in pictures}:
        (sweep.plots / name).unlink(missing_ok=True)


def _replace_bytes(path: Path, content: bytes) -> None:
    beside = path.parent / f".{path.name}-{uuid.uuid4().hex}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
