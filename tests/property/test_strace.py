"""The write paths of a real process, killed or refused by the kernel at every call that changes a disk."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from hpc_sweep import records
from hpc_sweep.records import Kind

SWEEP = "s"
CALLS = ("write", "fsync", "link", "unlink", "rename", "mkdir")
WRITER = """
import pathlib, sys
from hpc_sweep import records
records.append(pathlib.Path(sys.argv[1]), records.Kind.RESULT, {"value": 1}, sweep="s")
"""


def traced(log, *options):
    """Append in a process of its own under strace."""
    command = ["strace", "-f", "-qq", *options, sys.executable, "-c", WRITER, str(log)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["link", "rename"])
@pytest.mark.parametrize("fault", ["signal=KILL", "error=EIO", "error=ENOSPC", "error=EDQUOT"])
def test_a_process_that_the_kernel_stops_leaves_old_or_new(tmp_path, need, fault, mode):
    """At every call, and the next process appends as if nothing had been."""
    need("strace", "apt-get install strace")
    (tmp_path / "sweep.json").write_text(f'{{"log_mode":"{mode}"}}')
    records.append(tmp_path / "dry", Kind.RESULT, {"value": 0}, sweep=SWEEP)
    trace = traced(tmp_path / "dry", "-e", f"trace={','.join(CALLS)}").stderr
    assert "fsync" in trace, trace
    for call in CALLS:
        for number in range(1, len(re.findall(rf"\b{call}\(", trace)) + 1):
            log = tmp_path / f"{call}-{number}"
            records.append(log, Kind.RESULT, {"value": 0}, sweep=SWEEP)
            done = traced(log, "-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}")
            values = [entry.body["value"] for entry in records.read(log, sweep=SWEEP)]
            assert values == [0, 1] if done.returncode == 0 else values in ([0], [0, 1]), (call, number, done.stderr)
            assert records.append(log, Kind.RESULT, {"value": 2}, sweep=SWEEP) == len(values) + 1
