"""Every system call of every write path, each refused, cut short, answered falsely, or the process's last."""

# ruff: noqa: D102 because what the methods of each path do is said once, in Path
from __future__ import annotations

import json
import os
from contextlib import suppress

import pytest
import torch

from hpc_sweep import ledger, paths, records
from hpc_sweep.errors import SweepError
from hpc_sweep.objective import Objective
from hpc_sweep.records import Kind
from hpc_sweep.runtime.claim import claim
from hpc_sweep.training.checkpoint import Checkpoints
from tests.property.faults import FAULTS, Disk, Killed, faulty

SWEEP = "s"
TEXT = "whole text, " * 20


class Path:
    """One way of writing: what is there before, the write itself, and what may be there after it."""

    def prepare(self, folder):
        """Make the state before."""

    def write(self, folder):
        """Write; the return value says whether it was done, as far as it says anything."""
        raise NotImplementedError

    def look(self, folder):
        """Return "old" or "new"; anything else, or an exception, is an unreadable state."""
        raise NotImplementedError

    def again(self, folder):
        """Write again, as the next process would, and return what is there then."""
        self.write(folder)
        return self.look(folder)


class Publish(Path):
    """A file under a name that nobody has."""

    def write(self, folder):
        return records.publish(folder / "a.json", TEXT)

    def look(self, folder):
        path = folder / "a.json"
        if not path.exists():
            return "old"
        return "new" if path.read_text() == TEXT else "torn"


class Replace(Path):
    """A derived file in the place of its older version."""

    def prepare(self, folder):
        records.replace(folder / "report.md", "old")

    def write(self, folder):
        records.replace(folder / "report.md", TEXT)
        return True

    def look(self, folder):
        text = (folder / "report.md").read_text()
        return {"old": "old", TEXT: "new"}.get(text, "torn")


class Append(Path):
    """An entry of a log."""

    mode = "link"

    def prepare(self, folder):
        (folder / "sweep.json").write_text(json.dumps({"log_mode": self.mode}))
        records.append(folder / "log", Kind.RESULT, {"value": 0}, sweep=SWEEP)

    def write(self, folder):
        return records.append(folder / "log", Kind.RESULT, {"value": TEXT}, sweep=SWEEP) > 0

    def look(self, folder):
        values = [entry.body["value"] for entry in records.read(folder / "log", sweep=SWEEP)]
        assert values in ([0], [0, TEXT], [0, TEXT, TEXT])
        return "old" if values == [0] else "new"


class AppendByRename(Append):
    """The same where hard links are missing."""

    mode = "rename"


class AppendAt(Append):
    """An entry under its number or not at all, as a shard publishes: it is there at most once."""

    def write(self, folder):
        return records.append(folder / "log", Kind.RESULT, {"value": TEXT}, sweep=SWEEP, at=2) == 2

    def look(self, folder):
        values = [entry.body["value"] for entry in records.read(folder / "log", sweep=SWEEP)]
        return {1: "old", 2: "new"}[len(values)]


class Line(Path):
    """A finished trial in results.jsonl; the next process has a file of its own."""

    def prepare(self, folder):
        self._append(folder, "old")

    def write(self, folder):
        self._append(folder, TEXT)
        return True

    def look(self, folder):
        values = [line["trial"] for line in records.read_lines(folder / "results.jsonl")]
        return {("old",): "old", ("old", TEXT): "new"}[tuple(values)]

    def again(self, folder):
        return "new" if self.look(folder) else ""

    def _append(self, folder, text):
        file = os.open(folder / "results.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        records.write_line(file, {"trial": text, "outcome": "completed"})
        os.close(file)


class Checkpoint(Path):
    """A checkpoint, with an older one beside it."""

    def prepare(self, folder):
        self._of(folder).save(1, {"w": torch.ones(8)})

    def write(self, folder):
        self._of(folder).save(2, {"w": torch.full((8,), 2.0)})
        return True

    def look(self, folder):
        loaded = self._of(folder).load(torch.device("cpu"))
        assert loaded.unreadable == ()
        assert loaded.state["w"].tolist() == [float(loaded.epoch)] * 8
        return {1: "old", 2: "new"}[loaded.epoch]

    def _of(self, folder):
        return Checkpoints(folder / "checkpoints", "d" * 64, {}, "f" * 64)


class Claim(Path):
    """An attempt of a shard; what counts is that the next one is higher."""

    def prepare(self, folder):
        claim(paths.Sweep(folder), 1)

    def write(self, folder):
        claim(paths.Sweep(folder), 1)
        return True

    def look(self, folder):
        return "old" if len(paths.Sweep(folder).attempts(1)) == 1 else "new"

    def again(self, folder):
        before = paths.Sweep(folder).attempts(1)[-1].number
        assert claim(paths.Sweep(folder), 1).number == before + 1
        return "new"


class Ownership(Path):
    """The folder of a sweep: the first one has it."""

    def write(self, folder):
        identity = ledger.Identity("mine", Objective("val/score", "max"), "", {}, "", {}, "")
        return ledger.write_identity(paths.Sweep(folder), identity)

    def look(self, folder):
        if not (folder / "sweep.json").exists():
            return "old"
        return "new" if ledger.read_identity(paths.Sweep(folder)).sweep == "mine" else "torn"


WRITES = [Publish, Replace, Append, AppendByRename, AppendAt, Line, Checkpoint, Claim, Ownership]


def count(write, folder):
    """Return how many system calls a write makes."""
    folder.mkdir()
    write.prepare(folder)
    with faulty(Disk()) as disk:
        assert write.write(folder)
    assert write.look(folder) == "new"
    return len(disk.calls)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", WRITES, ids=lambda kind: kind.__name__)
def test_no_fault_at_any_call_leaves_an_unreadable_state(memory, kind, fault):
    """Old or new and never anything between; what said that it was done is done; the next process goes on."""
    write = kind()
    calls = count(write, memory / "dry")
    assert calls >= 3
    for number in range(1, calls + 1):
        folder = memory / str(number)
        folder.mkdir()
        write.prepare(folder)
        done = False
        with suppress(Killed, OSError, SweepError), faulty(Disk(number, FAULTS[fault])):
            done = write.write(folder)

        found = write.look(folder)

        assert found in {"old", "new"}, f"call {number}"
        assert not done or found == "new", f"call {number} said that it was done"
        assert write.again(folder) == "new", f"after call {number}"


def test_a_link_whose_reply_was_lost_is_no_lost_race(tmp_path):
    """The temporary has two names, so it was published, and the caller is told so."""
    with faulty(Disk()) as dry:
        records.publish(tmp_path / "dry.json", TEXT)
    number = next(n for n, (name, _) in enumerate(dry.calls, start=1) if name == "link")

    with faulty(Disk(number, FAULTS["lost reply"])):
        assert records.publish(tmp_path / "a.json", TEXT)

    assert (tmp_path / "a.json").stat().st_nlink == 1


def test_a_rename_whose_reply_was_lost_is_no_lost_race(tmp_path):
    """The folder under the number is ours, by its inode."""
    write = AppendByRename()
    write.prepare(tmp_path)
    with faulty(Disk()) as dry:
        write.write(tmp_path)
    number = next(n for n, (name, _) in enumerate(dry.calls, start=1) if name == "rename")

    with faulty(Disk(number, FAULTS["lost reply"])):
        assert records.append(tmp_path / "log", Kind.RESULT, {"value": TEXT}, sweep=SWEEP, at=3) == 3


def test_a_failed_fsync_is_not_tried_again_on_the_same_file(tmp_path):
    """After EIO the kernel may have dropped the data: the file goes, and nothing is published."""
    with faulty(Disk()) as dry:
        records.publish(tmp_path / "dry.json", TEXT)
    number = next(n for n, (name, _) in enumerate(dry.calls, start=1) if name == "fsync")

    with faulty(Disk(number, FAULTS["EIO"])) as disk, pytest.raises(OSError, match="Input/output"):
        records.publish(tmp_path / "a.json", TEXT)

    assert [name for name, _ in disk.calls].count("fsync") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["dry.json"]
