"""Loss of power: what was not fsynced may be gone, in any combination, at any moment.

The calls of a write are recorded and every state that a disk may then have is built and read. A name counts as durable
once its folder was fsynced, content once its file was; everything else may or may not have reached the disk.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from hpc_sweep import records
from hpc_sweep.records import Kind
from tests.property.faults import Disk, faulty

SWEEP = "s"
TEXT = "whole text, " * 20


class Recorder(Disk):
    """Records what happens to names and contents, by inode."""

    def __init__(self, root):
        super().__init__()
        self.root, self.trace, self.inodes, self.names = root, [], {}, {}

    def do(self, name, real, args, kwargs):
        """Make the call and note it."""
        if name == "unlink" and str(args[0]) in self.names:
            self.trace.append(("unlink", str(args[0])))
            self.names.pop(str(args[0]))
        result = super().do(name, real, args, kwargs)
        getattr(self, f"_{name}", lambda *_: None)(result, *args)
        return result

    def _open(self, descriptor, path, flags, *_):
        path = str(path)
        if flags & os.O_CREAT and path not in self.names:
            self.names[path] = len(self.names) + len(self.trace)
            self.trace.append(("name", path, self.names[path]))
        self.inodes[descriptor] = self.names.get(path, path)

    def _mkdir(self, _, path, *__):
        self.trace.append(("folder", str(path)))

    def _write(self, size, descriptor, content):
        self.trace.append(("data", self.inodes[descriptor], bytes(content)[:size]))

    def _fsync(self, _, descriptor):
        self.trace.append(("sync", self.inodes[descriptor]))

    def _link(self, _, source, target):
        self.names[str(target)] = self.names[str(source)]
        self.trace.append(("name", str(target), self.names[str(source)]))

    def _rename(self, _, source, target):
        self.trace.append(("move", str(source), str(target)))

    _replace = _rename


def place(step):
    """Return what must be fsynced for a step to be durable: a file by its inode, or a folder by its path."""
    return step[1] if step[0] == "data" else str(Path(step[1]).parent)


def loose(trace):
    """Return the indices of the steps that no later fsync made durable."""
    synced = [(index, step[1]) for index, step in enumerate(trace) if step[0] == "sync"]
    return [
        index
        for index, step in enumerate(trace)
        if step[0] != "sync" and not any(at > index and what == place(step) for at, what in synced)
    ]


def states(trace):
    """Yield every list of steps that may have reached the disk; lost data may also be there as zeros."""
    free = loose(trace)
    for kept in itertools.product((True, False), repeat=len(free)):
        lost = {index for index, keep in zip(free, kept, strict=True) if not keep}
        yield [step for index, step in enumerate(trace) if index not in lost]
        if any(trace[index][0] == "data" for index in lost):
            yield [
                zeroed(step) if index in lost else step for index, step in enumerate(trace) if keeps(index, lost, trace)
            ]


def keeps(index, lost, trace):
    """Tell whether a step is in a state in which lost data became zeros."""
    return index not in lost or trace[index][0] == "data"


def zeroed(step):
    """Return a data step whose bytes are zeros, as after a crash of a file system that had only grown the file."""
    return (*step[:2], bytes(len(step[2])))


def build(steps, before, target, root):
    """Make a folder as it would be found after the crash."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(before, target)
    content, names = {}, {}
    for step in steps:
        kind, *fields = step
        if kind == "data":
            content[fields[0]] = content.get(fields[0], b"") + fields[1]
        elif kind == "name":
            names[fields[0]] = fields[1]
        elif kind == "folder":
            names[fields[0]] = None
        elif kind == "unlink":
            names.pop(fields[0], None)
        elif kind == "move":
            move(names, *fields)
    for name, inode in sorted(names.items()):
        path = target / os.path.relpath(name, root)
        if inode is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.get(inode, b""))


def move(names, source, target):
    """Rename a file, or a folder with what is in it."""
    for name in [name for name in names if name == source or name.startswith(source + "/")]:
        names[target + name.removeprefix(source)] = names.pop(name)


def crash_everywhere(memory, prepare, write, look):
    """Return the results of all states: for every prefix of the calls, and for the whole of them."""
    before, root = memory / "before", memory / "root"
    before.mkdir()
    prepare(before)
    shutil.copytree(before, root)
    with faulty(Recorder(root)) as recorder:
        write(root)
    trace, found = recorder.trace, []
    for length in range(len(trace) + 1):
        for steps in states(trace[:length]):
            build(steps, before, memory / "after", root)
            found.append((length == len(trace), look(memory / "after")))
    return found


def log_of(mode):
    """Return what makes a log with one entry in a mode."""

    def prepare(folder):
        (folder / "sweep.json").write_text(json.dumps({"log_mode": mode}))
        records.append(folder / "log", Kind.RESULT, {"value": 0}, sweep=SWEEP)

    return prepare


def append(folder):
    """Append the second entry."""
    records.append(folder / "log", Kind.RESULT, {"value": TEXT}, sweep=SWEEP)


def entries(folder):
    """Read the log; anything but old or new is a finding."""
    try:
        values = [entry.body["value"] for entry in records.read(folder / "log", sweep=SWEEP)]
    except Exception as error:  # noqa: BLE001 because it is what the test looks for
        return f"unreadable: {error}"
    return {1: "old", 2: "new"}.get(len(values), "lost")


def published(folder):
    """Read a published file."""
    path = folder / "a.json"
    if not path.exists():
        return "old"
    return "new" if path.read_text() == TEXT else "torn"


def publish(folder):
    """Publish a file."""
    records.publish(folder / "a.json", TEXT)


def replaced(folder):
    """Read a derived file."""
    return {"old": "old", TEXT: "new"}.get((folder / "a.json").read_text(), "torn")


WRITES = {
    "append by link": (log_of("link"), append, entries),
    "append by rename": (log_of("rename"), append, entries),
    "publish": (Path.exists, publish, published),
    "replace": (
        lambda folder: records.replace(folder / "a.json", "old"),
        lambda folder: records.replace(folder / "a.json", TEXT),
        replaced,
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_crash_at_any_moment_leaves_old_or_new(memory, name):
    """Whatever was not fsynced is lost or kept, in any combination; what was done is never lost."""
    found = crash_everywhere(memory, *WRITES[name])

    assert {state for _, state in found} == {"old", "new"}
    assert {state for done, state in found if done} == {"new"}
    assert len(found) >= 10


@pytest.mark.parametrize("name", WRITES)
def test_the_harness_sees_a_missing_fsync(memory, name, monkeypatch):
    """A build without fsync is caught: with nothing durable, some state is torn or something done is lost."""
    monkeypatch.setattr(Recorder, "_fsync", lambda *_: None)

    found = crash_everywhere(memory, *WRITES[name])

    assert any(state not in {"old", "new"} for _, state in found) or ("old" in {s for done, s in found if done})
    if name != "publish":
        assert any(state not in {"old", "new"} for _, state in found)
