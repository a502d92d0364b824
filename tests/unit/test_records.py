"""The numbered log."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpc_sweep import records
from hpc_sweep.errors import CorruptRecordError, ForeignSweepError
from hpc_sweep.records import Kind


def append(log, **body):
    return records.append(log, Kind.RESULT, body, sweep="s")


def test_entries_come_back_in_the_order_in_which_they_were_appended(tmp_path):
    """A log has one order."""
    numbers = [append(tmp_path, value=value) for value in range(5)]

    entries = list(records.read(tmp_path, sweep="s"))

    assert numbers == [1, 2, 3, 4, 5]
    assert [entry.body["value"] for entry in entries] == [0, 1, 2, 3, 4]


def test_only_what_follows_a_number_is_read_again(tmp_path):
    """A reader that remembers the last number pays for new entries only."""
    for value in range(5):
        append(tmp_path, value=value)

    assert [entry.number for entry in records.read(tmp_path, sweep="s", after=3)] == [4, 5]


def test_two_hundred_appends_by_eight_writers_are_all_there_once(tmp_path):
    """Two writers never both believe that they were first."""
    with ThreadPoolExecutor(8) as writers:
        numbers = list(writers.map(lambda value: append(tmp_path, value=value), range(200)))

    values = [entry.body["value"] for entry in records.read(tmp_path, sweep="s")]

    assert sorted(numbers) == list(range(1, 201))
    assert sorted(values) == list(range(200))


def test_appends_of_several_processes_are_all_there_once(tmp_path):
    """The order of a log holds between processes."""
    code = (
        "import sys, pathlib; from hpc_sweep import records\n"
        "for value in range(25): records.append(pathlib.Path(sys.argv[1]), records.Kind.RESULT,"
        " {'value': [sys.argv[2], value]}, sweep='s')"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, tmp_path, str(n)]) for n in range(4)]

    assert [writer.wait() for writer in writers] == [0] * 4
    values = [tuple(entry.body["value"]) for entry in records.read(tmp_path, sweep="s")]

    assert sorted(values) == sorted((str(n), value) for n in range(4) for value in range(25))


def test_a_hole_hides_what_follows_it(tmp_path):
    """A missing number means that an entry is not visible yet."""
    for value in range(3):
        append(tmp_path, value=value)
    (tmp_path / "000002.json").unlink()

    assert [entry.number for entry in records.read(tmp_path, sweep="s")] == [1]


def test_a_reader_ignores_every_other_name(tmp_path):
    """Temporary files, copies and folders are no entries."""
    append(tmp_path, value=1)
    for name in (".000002.json-abc", "2.json", "000002.json.bak", "000002.txt", "0000002.json"):
        (tmp_path / name).write_text("not an entry")
    (tmp_path / "attempt-0001").mkdir()

    assert [entry.number for entry in records.read(tmp_path, sweep="s")] == [1]


def test_rows_of_a_plan_part_come_back(tmp_path):
    """A `.jsonl` entry has its object in the first line and rows below it."""
    rows = [{"id": "a", "x": 1.0}, {"id": "b", "x": "ü\n"}]
    records.append(tmp_path, Kind.PLAN, {"base": {}}, sweep="s", rows=rows)

    (entry,) = records.read(tmp_path, sweep="s")

    assert list(entry.rows) == rows
    assert (tmp_path / "000001.jsonl").exists()


def test_publishing_under_a_taken_name_changes_nothing(tmp_path):
    """The first one stays, byte for byte, and nothing is left beside it."""
    first = records.publish(tmp_path / "sweep.json", "mine")
    second = records.publish(tmp_path / "sweep.json", "yours")

    assert (first, second) == (True, False)
    assert (tmp_path / "sweep.json").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_replacing_leaves_the_new_text_and_nothing_else(tmp_path):
    """A derived file is written whole in the place of its older version."""
    records.replace(tmp_path / "report.md", "old")
    records.replace(tmp_path / "report.md", b"new")

    assert (tmp_path / "report.md").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_a_record_cut_at_any_byte_is_named_as_corrupt(tmp_path):
    """JSON cut at every byte is one clear error with the file's name."""
    append(tmp_path, value=1)
    path = tmp_path / "000001.json"
    whole = path.read_bytes()

    for length in range(len(whole) - 1):  # without its last newline an entry still says the same
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptRecordError, match=r"000001\.json"):
            list(records.read(tmp_path, sweep="s"))


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry | {"body": {"value": 2}},
        lambda entry: entry | {"schema": 99},
        lambda entry: entry | {"kind": "rumour"},
        lambda entry: {name: value for name, value in entry.items() if name != "body"},
    ],
    ids=["body", "schema", "kind", "missing"],
)
def test_a_changed_entry_is_refused(tmp_path, change):
    """A forged or incomplete entry is not taken for one of ours."""
    append(tmp_path, value=1)
    path = tmp_path / "000001.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))

    with pytest.raises(CorruptRecordError, match=r"000001\.json"):
        list(records.read(tmp_path, sweep="s"))


def test_the_records_of_two_sweeps_in_one_folder_are_refused(tmp_path):
    """Nothing is read of a mixed folder, because nobody can say which plan its results belong to."""
    append(tmp_path, value=1)

    with pytest.raises(ForeignSweepError, match="two sweeps"):
        list(records.read(tmp_path, sweep="another"))


@pytest.mark.parametrize(
    "text",
    ["NaN", '{"a": Infinity}', '{"a": 1, "a": 2}', "[" * 40 + "]" * 40, "", "{", "1 2", "[" * 100_000],
    ids=["nan", "infinity", "twice", "deep", "empty", "open", "two", "bomb"],
)
def test_loose_json_is_refused(tmp_path, text):
    """No NaN, no key twice, no deep nesting, nothing cut."""
    (tmp_path / "file.json").write_text(text)

    with pytest.raises(CorruptRecordError, match=r"file\.json"):
        records.read_json(tmp_path / "file.json")


def test_what_is_no_regular_file_is_never_opened_for_long(tmp_path):
    """A pipe in the place of a record is an error and no hang."""
    os.mkfifo(tmp_path / "000001.json")

    with pytest.raises(CorruptRecordError, match="regular"):
        list(records.read(tmp_path, sweep="s"))


def test_a_torn_last_line_was_never_finished(tmp_path):
    """A line without its end is left out, the ones before it count."""
    path = tmp_path / "results.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    records.write_line(descriptor, {"trial": "a"})
    os.write(descriptor, b'{"trial": "b"')
    os.close(descriptor)

    assert records.read_lines(path) == [{"trial": "a"}]


def test_the_digest_does_not_depend_on_the_order_of_keys():
    """Equal values have one digest; 1, 1.0 and true have three."""
    assert records.digest({"a": 1, "b": 2}) == records.digest({"b": 2, "a": 1})
    assert len({records.digest(value) for value in (1, 1.0, True, "1")}) == 4


def test_records_are_private(tmp_path):
    """Nobody else may read or write what a sweep records."""
    append(tmp_path / "log", value=1)

    assert (tmp_path / "log" / "000001.json").stat().st_mode & 0o077 == 0
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
