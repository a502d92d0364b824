"""Progress of long loops."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from hpc_sweep.tasks.instruments.progress import available_cores, track

ROOT = Path(__file__).parents[4]


def test_a_log_gets_two_plain_lines(capsys):
    """Without a terminal the start and the end are one line each, and the items pass unchanged."""
    items = list(track(iter("abc"), 3, "reading"))

    lines = capsys.readouterr().err.splitlines()

    assert items == ["a", "b", "c"]
    assert lines[0] == "reading: 3"
    assert lines[1].startswith("reading: done in ")
    assert len(lines) == 2


def test_a_terminal_gets_a_bar():
    """On a terminal the text and the count are drawn."""
    code = "from hpc_sweep.tasks.instruments.progress import track\nfor _ in track(range(3), 3, 'reading'): pass"
    screen, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"}
    subprocess.run([sys.executable, "-c", code], stderr=terminal, env=environment, check=True)
    os.close(terminal)

    drawn = os.read(screen, 65536).decode()
    os.close(screen)

    assert "reading" in drawn
    assert "3/3" in drawn


def test_cores_are_those_of_this_process():
    """A process that is bound to some cores counts only those."""
    assert len(os.sched_getaffinity(0)) == available_cores()
