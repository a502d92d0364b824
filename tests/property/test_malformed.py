"""Ten thousand malformed records: each one clear error that names the file, none taken for what it is not."""

from __future__ import annotations

import hashlib
import json
import random

import pytest

from hpc_sweep import ledger, paths, records
from hpc_sweep.errors import CorruptRecordError, SweepError
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, partition
from hpc_sweep.records import Kind
from hpc_sweep.trial import Trial

SWEEP = "s"
EACH = 2500
BODY = {
    "results": [
        {
            "trial": "0123abcd",
            "outcome": "completed",
            "metrics": {"val/accuracy": 0.8125, "val/loss": 0.1},
            "curves": {"val/accuracy": [0.25, 0.5, 0.8125]},
            "error": None,
            "note": 'quotes " and \\ and ü and \n',
        }
    ]
}
ROWS = [{"id": "a", "number": 1, "changes": []}, {"id": "b", "number": 2, "changes": [[["x"], {"set": 1e-3}]]}]


class Entry:
    """An entry of a log with one object."""

    def write(self, folder):
        """Write a good one and return its file."""
        records.append(folder, Kind.RESULT, BODY, sweep=SWEEP, attempt="0003/1", part={"number": 1, "sha256": "0" * 64})
        return folder / "000001.json"

    def read(self, path):
        """Return what was read."""
        return list(records.read(path.parent, sweep=SWEEP, patience=0.0))


class Part:
    """An entry with rows."""

    def write(self, folder):
        """Write a good one and return its file."""
        records.append(folder, Kind.PLAN, {"base": {"lr": 0.1}}, sweep=SWEEP, rows=ROWS)
        return folder / "000001.jsonl"

    read = Entry.read


class Identity:
    """The identity of a sweep."""

    def write(self, folder):
        """Write a good one and return its file."""
        identity = ledger.Identity("mine", Objective("val/score", "max"), "b" * 64, {}, "d" * 64, {}, "2026")
        ledger.write_identity(paths.Sweep(folder), identity)
        return folder / "sweep.json"

    def read(self, path):
        """Return what was read."""
        return ledger.read_identity(paths.Sweep(path.parent))


class Line:
    """A finished trial; its last line is torn when its end is missing, and then it was never finished."""

    def write(self, folder):
        """Write a good one and return its file."""
        path = folder / "results.jsonl"
        path.write_bytes(records.seal(BODY["results"][0]).encode())
        return path

    def read(self, path):
        """Return what was read."""
        return records.read_lines(path)


KINDS = [Entry, Part, Identity, Line]


def cut(text, draw):
    """Lose the end."""
    return text[: draw.randrange(len(text))]


def flip(text, draw):
    """Flip one bit."""
    at = draw.randrange(len(text))
    return text[:at] + bytes([text[at] ^ 1 << draw.randrange(8)]) + text[at + 1 :]


def insert(text, draw):
    """Put something in."""
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice((b"\0", b" ", b"\n", b",", b'"', b"0", b"\xff", b"\xef\xbb\xbf")) + text[at:]


def delete(text, draw):
    """Take something out."""
    at = draw.randrange(len(text))
    return text[:at] + text[at + draw.randrange(1, 9) :]


def zeros(text, draw):
    """Find zeros at the end, as after a crash."""
    at = draw.randrange(len(text))
    return text[:at] + bytes(len(text) - at)


def twice(text, draw):
    """Have a piece twice."""
    at = draw.randrange(len(text))
    return text[:at] + text[at : at + draw.randrange(1, 50)] + text[at:]


def swap(text, draw):
    """Change one character for another."""
    at = draw.randrange(len(text))
    return text[:at] + draw.choice(b'0123456789abcdef{}[],:"'.decode()).encode() + text[at + 1 :]


def windows(text, draw):
    """Come from an editor."""
    del draw
    return b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n")


def pretty(text, draw):
    """Be formatted by hand."""
    del draw
    return b"\n".join(json.dumps(json.loads(line), indent=1).encode() for line in text.splitlines()) + b"\n"


MUTATIONS = [cut, flip, insert, delete, zeros, twice, swap, windows, pretty]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_was_changed_is_named_and_never_taken(memory, kind):
    """Bits, cuts, copies, zeros, editors: the reader says which file and why, in one error."""
    record, draw = kind(), random.Random(7)
    path = record.write(memory)
    whole, good = path.read_bytes(), record.read(path)
    wrong = 0
    while wrong < EACH:
        changed = draw.choice(MUTATIONS)(whole, draw)
        if changed == whole:
            continue
        wrong += 1
        path.write_bytes(changed)
        torn_behind = kind is Line and changed.startswith(whole) and b"\n" not in changed[len(whole) :]
        assert record.read(path) == good if torn_behind else refused(record, path), changed


def refused(record, path):
    """Tell whether reading gives one clear error, or nothing where only a torn line is."""
    try:
        return record.read(path) == []
    except CorruptRecordError as error:
        return path.name in error.where and len(error.what.splitlines()) == 1 and bool(error.next_step)


def sealed(text):
    """Return a text with the checksum that fits it, as a forger or a faulty writer would."""
    first, _, rest = text.partition("\n")
    marked = first.replace('"sha256":"#"', '"sha256":""') + "\n" + rest
    checksum = hashlib.sha256(marked.encode("utf-8", "surrogatepass")).hexdigest()
    return marked.replace('"sha256":""', f'"sha256":"{checksum}"', 1)


def head(**changes):
    """Return an entry's line with a place for its checksum, some of its fields changed or left out."""
    fields = {
        "attempt": "0003/1",
        "body": {"results": []},
        "kind": "result",
        "part": None,
        "schema": records.SCHEMA,
        "sha256": "#",
        "sweep": SWEEP,
    } | changes
    kept = {name: value for name, value in fields.items() if value is not ...}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


FORGED = {
    "nan": head(body={"value": float("nan")}),
    "infinity": head(body={"value": float("inf")}),
    "too large": head(body={"value": 0}).replace(":0}", ":1e400}"),
    "many digits with a point": head(body={"value": 0}).replace(":0}", ":" + "9" * 400 + ".5}"),
    "many digits": head(body={"value": 0}).replace(":0}", ":" + "9" * 5000 + "}"),
    "a key twice": head(body={"value": 0}).replace('{"value":0}', '{"value":0,"value":0}'),
    "a key twice in the head": head().replace('"part":null', '"part":null,"part":null'),
    "deep": head(body={"value": 0}).replace(":0}", ":" + "[" * 40 + "]" * 40 + "}"),
    "bomb": head(body={"value": 0}).replace(":0}", ":" + "[" * 90_000 + "]" * 90_000 + "}"),
    "no list": "[]\n",
    "text": '"text"\n',
    "a row that is no object": head() + "3\n",
    "an empty row": head() + "\n",
    "unknown kind": head(kind="rumour"),
    "kind is a number": head(kind=3),
    "schema of tomorrow": head(schema=records.SCHEMA + 1),
    "schema is true": head(schema=True),
    "schema is a text": head(schema="1"),
    "sweep is a list": head(sweep=[SWEEP]),
    "attempt is a number": head(attempt=3),
    "attempt is missing": head(attempt=...),
    "body is a list": head(body=[]),
    "body is missing": head(body=...),
    "part is a text": head(part="1"),
    "one field too many": head(extra=1),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_entry_is_refused_although_its_checksum_fits(memory, name):
    """The form is checked as well, not only the sum."""
    (memory / "000001.json").write_bytes(sealed(FORGED[name]).encode("utf-8", "surrogatepass"))

    with pytest.raises(CorruptRecordError, match=r"000001\.json"):
        list(records.read(memory, sweep=SWEEP, patience=0.0))


def test_the_forger_can_also_write_a_good_one(memory):
    """So what is refused above is refused for the right reason."""
    (memory / "000001.json").write_text(sealed(head()))

    (entry,) = records.read(memory, sweep=SWEEP)
    assert entry.attempt == "0003/1"


def test_a_corrupt_entry_costs_its_own_trials_and_no_others(memory):
    """The other trials are ranked, and the report names the file."""
    sweep = paths.Sweep(memory)
    ledger.write_identity(sweep, ledger.Identity(SWEEP, Objective("val/score", "max"), "", {}, "", {}, ""))
    trials = [Trial(n, f"id{n}", (f"x={n}",), {"x": n}, None, ()) for n in range(1, 41)]
    append_part(
        sweep.plan, trials, partition(40, shards=4, trials_per_shard=None), sweep=SWEEP, base={}, form="rebuilt"
    )
    for trial in trials:
        line = {"trial": trial.id, "attempt": "1/1", "outcome": "completed", "metrics": {"val/score": 1.0}}
        shard = sweep.shard((trial.number - 1) // 10 + 1)
        records.append(shard, Kind.RESULT, {"results": [line]}, sweep=SWEEP)
    damaged = sweep.shard(2) / "000004.json"
    damaged.write_bytes(damaged.read_bytes()[:-20])

    state = ledger.read_ledger(sweep, over=range(1, 5))

    assert state.counts["completed"] == 39
    assert [row.status for row in state.rows if row.result is None] == ["lost"]
    (problem,) = state.problems
    assert "000004.json" in problem


def test_no_error_is_a_traceback(memory):
    """Whatever stands in the place of an entry: a folder, a link, a pipe, nothing that may be opened."""
    (memory / "000001.json").mkdir()
    (memory / "000002.json").symlink_to("/etc/passwd")
    (memory / "000003.json").write_text("{}")
    (memory / "000003.jsonl").write_text("{}")

    found = list(records.scan(memory, sweep=SWEEP, patience=0.0))

    assert [type(one) for one in found] == [records.Corrupt] * 3
    assert all(isinstance(one.error, SweepError) for one in found)
