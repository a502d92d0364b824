"""Merge, decide, report: from the logs of a sweep to its derived files, at any time and twice at once.

Nothing here is a record. All files are made in memory and then replaced one by one, `decision.json` last: whoever finds
it finds the rest. It says by its ``inputs`` what it was made from. A log only grows, so of two collectors the one that
has read less reads again; and each looks, when it is done, whether another one has written between its files. Where
the logs have less than an earlier decision was made from, records are gone: this is told, and remembered by the
decision as ``vanished``.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hpc_sweep import records
from hpc_sweep.analysis.decision import decide_evidence
from hpc_sweep.analysis.table import Evidence, curve_rows, trials_table
from hpc_sweep.errors import CorruptRecordError
from hpc_sweep.ledger import read_ledger
from hpc_sweep.records.patience import pauses
from hpc_sweep.report import charts
from hpc_sweep.report.choice import choose, read_wish, with_choice
from hpc_sweep.report.markdown import markdown
from hpc_sweep.report.page import page
from hpc_sweep.report.story import Report
from hpc_sweep.report.tables import csv_bytes, csv_text, leaderboard_table
from hpc_sweep.report.winner import winner_yaml, winning_configuration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.ledger import Ledger

Derived = dict["Path", "bytes | None"]
"""Files in the order in which they are written; None for one that must not be there."""

_DEAD_SECONDS = 24 * 3600.0
"""How old a temporary file is whose writer is taken for dead."""


def collect(sweep: paths.Sweep, *, over: Collection[int] = (), chosen: tuple[int, str] | None = None) -> Decision:
    """Write the tables, pictures, report, winner and decision of a sweep as far as it is, and return the decision.

    `over` are the shards whose jobs are known to have ended; `chosen` is a trial that a person carries on instead of
    the pick, and why: it is recorded once, and stands until somebody chooses again. The same records give the same
    bytes.
    """
    if chosen is not None:
        evidence = Evidence.of(read_ledger(sweep, over=over))
        choose(sweep, evidence, decide_evidence(evidence), *chosen)
    with _told("" if chosen is None else f"The choice of Run {chosen[0]} is recorded; collect again for the report."):
        return _collect(sweep, over)


def _collect(sweep: paths.Sweep, over: Collection[int]) -> Decision:
    while True:
        ledger = _read(sweep, over)
        wish = read_wish(sweep)
        decision, derived = derive(sweep, ledger)
        if _gone(_standing(sweep), ledger) != ledger.vanished:
            continue  # another collector has written meanwhile, from more than this one has read
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
    _remove_leftovers(sweep, derived)


def decision_text(decision: Decision) -> str:
    """Return the text of `decision.json`."""
    text = json.dumps(decision.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    # The escape of a lone surrogate, which has no UTF-8, is the same in JSON.
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


@contextmanager
def _told(note: str) -> Iterator[None]:
    """Say with an error of the disk what was done before it."""
    try:
        yield
    except OSError as error:
        error.add_note(note)
        raise


@dataclass(frozen=True)
class _Standing:
    """What the decision on disk knows of: the highest numbers that it was made from, and those that were gone."""

    inputs: Mapping[str, int] = field(default_factory=dict)
    vanished: Mapping[str, int] = field(default_factory=dict)


def _standing(sweep: paths.Sweep) -> _Standing:
    try:
        body = records.read_json(sweep.decision_json)
        known = (body["inputs"], body.get("vanished", {}))
        return _Standing(*({str(log): int(last) for log, last in one.items()} for one in known))
    except (FileNotFoundError, CorruptRecordError, KeyError, TypeError, ValueError, AttributeError):
        return _Standing()  # a derived file that cannot be read is simply made again


def _read(sweep: paths.Sweep, over: Collection[int]) -> Ledger:
    """Read the logs behind the decision that stands, until they have what it was made from or no cache is to blame."""
    standing = _standing(sweep)
    ledger = read_ledger(sweep, over=over)
    waits = pauses(sweep.decision_json)
    while _beyond(standing.inputs, ledger) and next(waits, None) is not None:
        ledger = read_ledger(sweep, over=over, known=ledger)
    return replace(ledger, vanished=_gone(standing, ledger))


def _gone(standing: _Standing, ledger: Ledger) -> dict[str, int]:
    """Return the highest number that was known of each log that does not reach it any more."""
    logs = sorted({*standing.inputs, *standing.vanished})
    return _beyond(
        {log: max(known.get(log, 0) for known in (standing.inputs, standing.vanished)) for log in logs}, ledger
    )


def _beyond(known: Mapping[str, int], ledger: Ledger) -> dict[str, int]:
    return {log: last for log, last in known.items() if last > ledger.inputs.get(log, 0)}


def _put(sweep: paths.Sweep, path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    # Made one by one, because only the last folder that `mkdir` makes gets its mode.
    for folder in reversed([folder for folder in path.parents if sweep.root in folder.parents]):
        folder.mkdir(exist_ok=True, mode=0o700)
    records.replace(path, content)


def _remove_leftovers(sweep: paths.Sweep, derived: Derived) -> None:
    """Remove what collectors that were killed left beside their files.

    A live one has such a file for moments. Were one stopped for longer, it would fail in a sentence, and no more.
    """
    with suppress(FileNotFoundError):
        now = sweep.decision_json.stat().st_mtime  # just written: so the clock is that of the file system
        records.remove_leftovers({*derived, sweep.choice}, now - _DEAD_SECONDS)


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
