"""The numbered log."""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpc_sweep import records
from hpc_sweep.errors import CorruptRecordError, ForeignSweepError, UserError
from hpc_sweep.records import Kind, modes, patience


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

    for length in range(len(whole)):
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


def test_a_damaged_line_does_not_hide_the_others(tmp_path):
    """It is named, and the trials before and after it count."""
    path = tmp_path / "results.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for trial in "abc":
        records.write_line(descriptor, {"trial": trial})
    os.close(descriptor)
    path.write_bytes(path.read_bytes().replace(b'"trial":"b"', b'"trial":"x"'))
    problems = []

    assert records.read_lines(path, problems=problems) == [{"trial": "a"}, {"trial": "c"}]
    assert ["line 2" in problem for problem in problems] == [True]
    with pytest.raises(CorruptRecordError, match="line 2"):
        records.read_lines(path)


def test_a_corrupt_entry_does_not_hide_what_follows_it(tmp_path):
    """A reader that wants all of a log is told which number cannot be used."""
    for value in range(3):
        append(tmp_path, value=value)
    (tmp_path / "000002.json").write_text("{")

    found = list(records.scan(tmp_path, sweep="s"))

    assert [type(one) for one in found] == [records.Entry, records.Corrupt, records.Entry]
    assert [one.number for one in found] == [1, 2, 3]


def test_a_read_that_fails_is_tried_again_until_the_cache_has_expired(tmp_path):
    """A whole file may look cut for as long as a client keeps its size."""
    append(tmp_path, value=1)
    path = tmp_path / "000001.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:22])
    healed = threading.Timer(0.3, path.write_bytes, [whole])
    healed.start()

    (entry,) = records.read(tmp_path, sweep="s", patience=30.0)

    assert entry.body == {"value": 1}
    healed.join()


def test_all_corrupt_entries_of_a_log_share_one_wait(tmp_path):
    """A hundred of them do not take a hundred times as long."""
    for value in range(20):
        append(tmp_path, value=value)
        (tmp_path / f"{value + 1:06d}.json").write_text("{")
    begun = time.monotonic()

    assert len(list(records.scan(tmp_path, sweep="s", patience=0.5))) == 20
    assert 0.5 <= time.monotonic() - begun < 5


MOUNTS = """22 1 8:1 / / rw - ext4 /dev/sda rw
30 22 0:20 / /home rw shared:3 - nfs4 server:/home rw
31 30 0:21 / /home/my\\040scratch rw - lustre x rw
32 22 0:22 / /tmp rw master:1 - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/u/sweep", "nfs4"),
        ("/home/my scratch/x", "lustre"),
        ("/tmp/x", "tmpfs"),
        ("/homes", "ext4"),
    ],
)
def test_a_file_system_is_told_by_its_mount(path, kind):
    """The longest mount point that a path lies under decides."""
    assert patience.file_system(pathlib.Path(path), MOUNTS) == kind


def test_only_a_network_is_waited_for_and_only_for_what_is_new(tmp_path, monkeypatch):
    """On one machine's disk nothing is stale; what is ten minutes old is stale nowhere."""
    assert patience.of(tmp_path) in {0.0, patience.NETWORK_SECONDS}
    monkeypatch.setattr(patience, "LOCAL", frozenset())
    assert patience.of(tmp_path) == patience.NETWORK_SECONDS
    os.utime(tmp_path, (1.0, 1.0))
    assert patience.of(tmp_path) == 0.0
    monkeypatch.setenv(patience.VARIABLE, "7")
    assert patience.of(tmp_path) == 7.0


@pytest.fixture
def renaming(tmp_path):
    """Return the log of a sweep that is kept where hard links are missing."""
    (tmp_path / "sweep.json").write_text('{"log_mode":"rename"}')
    return tmp_path / "shards" / "0001"


def test_a_log_of_folders_is_a_log(renaming):
    """Order, exclusiveness and reading on are those of links."""
    with ThreadPoolExecutor(8) as writers:
        numbers = list(writers.map(lambda value: append(renaming, value=value), range(100)))

    entries = list(records.read(renaming, sweep="s"))

    assert sorted(numbers) == list(range(1, 101))
    assert sorted(entry.body["value"] for entry in entries) == list(range(100))
    assert all((renaming / f"{number:06d}.json" / "entry.json").is_file() for number in numbers)
    assert [entry.number for entry in records.read(renaming, sweep="s", after=98)] == [99, 100]


def no_links(*args, **kwargs):
    """Answer as a file system without hard links does."""
    del args, kwargs
    raise PermissionError(1, "Operation not permitted")


def test_the_mode_is_found_out_by_trying(tmp_path, monkeypatch):
    """Links where there are links, folders elsewhere, and nothing is left of the trial."""
    assert records.probe(tmp_path) == "link"
    monkeypatch.setattr(os, "link", no_links)
    assert records.probe(tmp_path) == "rename"
    assert list(tmp_path.iterdir()) == []


def test_a_node_on_which_the_mode_fails_refuses_to_start(tmp_path, monkeypatch):
    """A log that some wrote one way and some the other would have no order."""
    (tmp_path / "sweep.json").write_text('{"log_mode":"link"}')
    records.require(tmp_path)
    monkeypatch.setattr(os, "link", no_links)

    with pytest.raises(UserError, match="hard links"):
        records.require(tmp_path)


def test_without_links_a_name_is_still_given_once(tmp_path, monkeypatch):
    """The first one has it, and nothing is left beside it."""
    monkeypatch.setattr(os, "link", no_links)

    assert [records.publish(tmp_path / "sweep.json", text) for text in ("mine", "yours")] == [True, False]
    assert (tmp_path / "sweep.json").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_without_links_a_dead_publisher_is_finished_by_the_next(tmp_path, monkeypatch):
    """It had decided, and died before the name was there: its content stands."""
    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / ".sweep.json.once").mkdir()
    (tmp_path / ".sweep.json.once" / "content").write_text("theirs")

    assert not records.publish(tmp_path / "sweep.json", "mine")
    assert (tmp_path / "sweep.json").read_text() == "theirs"


def test_thousands_of_leftovers_do_not_matter(tmp_path):
    """What dead writers left beside is not read, and does not take a number."""
    append(tmp_path, value=1)
    for number in range(2_000):
        (tmp_path / f".000002.json-{number}").touch()

    assert append(tmp_path, value=2) == 2
    assert [entry.body["value"] for entry in records.read(tmp_path, sweep="s")] == [1, 2]


def test_what_no_reader_would_take_is_not_written(tmp_path):
    """Too deep or no JSON: the writer is told, and the log stays as it was."""
    deep = value = {}
    for _ in range(40):
        value["in"] = value = {}
    with pytest.raises(ValueError, match="deeper"):
        append(tmp_path, **deep)
    with pytest.raises(ValueError, match="JSON"):
        append(tmp_path, value=float("nan"))

    assert records.last_number(tmp_path) == 0


def test_the_mode_of_a_log_is_that_of_its_sweep(tmp_path, renaming):
    """Wherever the log lies in it; outside of any sweep links are used."""
    assert modes.mode_of(renaming) == "rename"
    assert modes.mode_of(tmp_path / "plan") == "rename"
    assert modes.mode_of(pathlib.Path("/nowhere/at/all")) == "link"
