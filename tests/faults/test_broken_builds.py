"""Tests of the tests: copies of the package in which one rule is broken, each caught by a named quick test.

A break changes one function. Where the package has changed, so that a break fits no longer, the test says so.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

from tests.conftest import ROOT

RULES = "tests/faults/test_rules.py"


@dataclass(frozen=True)
class Break:
    """One deliberate mistake: in a function, some text becomes another; without `old`, its whole body does."""

    name: str
    file: str
    function: str
    old: str
    new: str
    caught_by: str


BREAKS = (
    Break(
        "no fsync of an entry",
        *("records/files.py", "write_whole", "os.fsync(descriptor)", "pass"),
        f"{RULES}::test_an_entry_is_durable_before_it_has_its_number",
    ),
    Break(
        "no fsync of a folder",
        *("records/files.py", "sync_folder", "", "return"),
        f"{RULES}::test_an_entry_is_durable_before_it_has_its_number",
    ),
    Break(
        "no fsync of a finished line",
        *("records/lines.py", "write_line", "os.fsync(file)", "pass"),
        f"{RULES}::test_a_finished_line_is_durable",
    ),
    Break(
        "replace for link",
        *("records/files.py", "_link", "os.link(beside, path)", "beside.replace(path); return True"),
        f"{RULES}::test_a_published_entry_is_never_replaced",
    ),
    Break(
        "restart count as token",
        *("runtime/claim.py", "claim", ""),
        'attempt = sweep.attempt(shard, int(os.environ.get("SLURM_RESTART_COUNT", "0")) + 1)\n'
        "attempt.root.mkdir(parents=True, exist_ok=True)\n"
        "return attempt",
        f"{RULES}::test_a_restarted_controller_gives_no_attempt_twice",
    ),
    Break(
        "no fence check",
        *("runtime/claim.py", "superseded", "", "return False"),
        f"{RULES}::test_an_older_attempt_publishes_nothing",
    ),
    Break(
        "publication without having read",
        *("runtime/book.py", "_append", ", at=number)", ")"),
        "tests/unit/runtime/test_fencing.py::test_what_two_attempts_publish_between_two_looks_is_one_line",
    ),
    Break(
        "blind retry of sbatch",
        *("cluster/submission.py", "_send", "look_up(self.sweep, number, intent, self.silence)"),
        "slurm.sbatch(self.sweep.script(intent.token), *options)",
        f"{RULES}::test_a_failed_sbatch_is_looked_up_and_not_repeated",
    ),
    Break(
        "sbatch before the intent",
        *("cluster/submission.py", "_send", "        number = intents.publish("),
        "        slurm.sbatch(self.sweep.job_output)\n        number = intents.publish(",
        f"{RULES}::test_an_intent_is_published_before_sbatch",
    ),
    Break(
        "a failure outranks an outcome",
        *("ledger.py", "_take", "state.failures[trial] = result"),
        "state.failures[trial] = result; state.results.pop(trial, None)",
        f"{RULES}::test_an_outcome_outranks_a_failure",
    ),
    Break(
        "the last outcome stands",
        *("ledger.py", "_take", "elif trial not in state.results:", "elif True:"),
        f"{RULES}::test_the_first_of_two_outcomes_stands",
    ),
    Break(
        "a torn line is accepted",
        *("records/lines.py", "read_lines", "*whole, _torn = read_text(path)", "whole = read_text(path).strip()"),
        f"{RULES}::test_a_torn_line_was_never_finished",
    ),
    Break(
        "no checksum",
        *("records/text.py", "unseal", 'if sha256(text.replace(head[SEAL], "", 1)) != head[SEAL]:', "if False:"),
        f"{RULES}::test_a_changed_byte_is_seen",
    ),
    Break(
        "holes are skipped",
        *("records/log.py", "_dense", "", "yield from sorted(_numbered(log).items())"),
        f"{RULES}::test_what_follows_a_hole_is_not_read",
    ),
    Break(
        "no second look",
        *("records/patience.py", "pauses", "", "yield from ()"),
        f"{RULES}::test_what_looks_cut_is_read_again_before_it_is_called_corrupt",
    ),
    Break(
        "signals interrupt",
        *("runtime/stop.py", "_note", "", "raise InterruptedError"),
        f"{RULES}::test_a_signal_only_asks",
    ),
    Break(
        "orphans train on",
        *("runtime/worker.py", "_die_with_supervisor", "", "return"),
        "tests/unit/runtime/test_supervisor.py::test_a_worker_dies_with_its_supervisor",
    ),
)

COPIED = ("hpc_sweep", "hydra_plugins", "tests", "jobs", "pyproject.toml")


def copied(folder):
    """Copy what the quick tests need."""
    unwanted = shutil.ignore_patterns("__pycache__", "embedded", "data", "e2e")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def broken(text, one):
    """Return a module's text with one function broken."""
    names = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == one.function
    ]
    assert len(names) == 1, f"{one.file} has {len(names)} functions {one.function}"
    (node,) = names
    lines = text.splitlines(keepends=True)
    first, last = (node.lineno, node.end_lineno) if one.old else (node.body[0].lineno, node.end_lineno)
    body = "".join(lines[first - 1 : last])
    if one.old:
        assert body.count(one.old) == 1, f"{one.function} of {one.file} has no longer {one.old!r}"
        changed = body.replace(one.old, one.new)
    else:
        changed = textwrap.indent(one.new, " " * node.body[0].col_offset) + "\n"
    return "".join([*lines[: first - 1], changed, *lines[last:]])


def run(folder, *tests):
    """Run tests against the package in a folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
    env = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)


def test_the_package_itself_passes_every_named_test(tmp_path):
    """The control: a copy in which nothing is broken."""
    done = run(
        copied(tmp_path), *sorted({one.caught_by for one in BREAKS}), f"{RULES}::test_nothing_unplanned_is_imported"
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.name.replace(" ", "-"))
def test_a_broken_build_is_caught(tmp_path, one):
    """By the test that is named beside it, as a failure and not as an accident."""
    folder = copied(tmp_path)
    path = folder / "hpc_sweep" / one.file
    path.write_text(broken(path.read_text(), one))
    done = run(folder, one.caught_by)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "SyntaxError" not in done.stdout
