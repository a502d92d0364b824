"""Merge, decide, report: from the logs of a sweep to its derived files, at any time and twice at once.

Nothing here is a record. All files are made in memory and then replaced one by one, `decision.json` last: whoever finds
it finds the rest. It says by its ``inputs`` what it was made from, so that of two collectors the one that has read
less gives way; and each looks, when it is done, whether another one has written between its files.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpc_sweep import records
from hpc_sweep.analysis.decision import Decision, decide_evidence
from hpc_sweep.analysis.table import Evidence, curve_rows, trials_table
from hpc_sweep.errors import CorruptRecordError
from hpc_sweep.ledger import read_ledger
from hpc_sweep.report import charts
from hpc_sweep.report.choice import choose, read_wish, with_choice
from hpc_sweep.report.markdown import markdown
from hpc_sweep.report.page import page
from hpc_sweep.report.story import Report
from hpc_sweep.report.tables import csv_bytes, csv_text, leaderboard_table
from hpc_sweep.report.winner import winner_yaml, winning_configuration

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.ledger import Ledger

Derived = dict["Path", "bytes | None"]
"""Files in the order in which they are written; None for one that must not be there."""


def collect(sweep: paths.Sweep, *, over: Collection[int] = (), chosen: tuple[int, str] | None = None) -> Decision:
    """Write the tables, pictures, report, winner and decision of a sweep as far as it is, and return the decision.

    `over` are the shards whose jobs are known to have ended; `chosen` is a trial that a person carries on instead of
    the pick, and why. The same records give the same bytes.
    """
    while True:
        ledger = read_ledger(sweep, over=over)
        if chosen is not None:
            evidence = Evidence.of(ledger)
            choose(sweep, evidence, decide_evidence(evidence), *chosen)
        wish = read_wish(sweep)
        decision, derived = derive(sweep, ledger)
        newer = _newer(sweep, ledger.inputs)
        if newer is not None:
            return Decision.parse(newer)
        write(sweep, derived)
        if wish == read_wish(sweep) and all(_holds(path, content) for path, content in derived.items()):
            return decision


def derive(sweep: paths.Sweep, ledger: Ledger) -> tuple[Decision, Derived]:
    """Return the decision and every derived file of a sweep, without writing any."""
    report = written(sweep, ledger)
    return report.decision, files(sweep, report, winner_yaml(ledger, report.decision))


def files(sweep: paths.Sweep, report: Report, optimized: str | None) -> Derived:
    """Return every derived file of a report, in the order in which they are written."""
    evidence, decision, document = report.evidence, report.decision, report.document()
    drawn = {picture.name: picture.png(_bytes(sweep.plots / picture.name)) for picture in report.pictures}
    return {
        sweep.trials_csv: csv_text(trials_table(evidence)).encode(),
        sweep.curves_csv: csv_bytes(*curve_rows(evidence)),
        **{sweep.plots / name: drawn.get(name) for name in charts.NAMES},
        sweep.leaderboard_csv: csv_text(leaderboard_table(evidence, decision)).encode(),
        sweep.report_md: markdown(document).encode(),
        sweep.report_html: page(document).encode(),
        sweep.optimized: None if optimized is None else optimized.encode(),
        sweep.decision_json: decision_text(decision).encode(),
    }


def written(sweep: paths.Sweep, ledger: Ledger) -> Report:
    """Return what the report of a sweep is written from."""
    evidence = Evidence.of(ledger)
    decision = with_choice(evidence, decide_evidence(evidence), read_wish(sweep))
    pictures = charts.pictures(evidence, decision)
    return Report(evidence, decision, pictures, winning_configuration(ledger, decision), sweep.root.resolve())


def write(sweep: paths.Sweep, derived: Derived) -> None:
    """Replace the derived files one by one; what there should not be any more is removed."""
    for path, content in derived.items():
        _put(sweep, path, content)


def decision_text(decision: Decision) -> str:
    """Return the text of `decision.json`."""
    text = json.dumps(decision.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    # The escape of a lone surrogate, which has no UTF-8, is the same in JSON.
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _newer(sweep: paths.Sweep, inputs: Mapping[str, int]) -> Mapping[str, Any] | None:
    """Return the decision that stands, if it was made from all of these inputs and more."""
    try:
        standing: Mapping[str, Any] = records.read_json(sweep.decision_json)
        theirs = standing["inputs"]
        covers = all(theirs.get(log, 0) >= number for log, number in inputs.items())
    except (FileNotFoundError, CorruptRecordError, KeyError, TypeError, AttributeError):
        return None  # a derived file that cannot be read is simply made again
    return standing if covers and dict(theirs) != dict(inputs) else None


def _put(sweep: paths.Sweep, path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    # Made one by one, because only the last folder that `mkdir` makes gets its mode.
    for folder in reversed([folder for folder in path.parents if sweep.root in folder.parents]):
        folder.mkdir(exist_ok=True, mode=0o700)
    records.replace(path, content)


def _holds(path: Path, content: bytes | None) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return content is None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
