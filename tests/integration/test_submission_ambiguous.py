"""Slurm hangs while sbatch waits for it: the answer is an error, the jobs are there, and each shard runs once."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.integration.slurm_fixture import wait_for
from tests.integration.sweeping import App, arrays, copied, planned, put_on_path, runs, until_over
from tests.integration.test_submission_kills import RESUME

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

SBATCH = """#!/bin/sh
# Says that it came, waits until Slurm hangs, and only then asks; only a submitter's first call does so.
if [ ! -e "$CASE.came" ]; then
    touch "$CASE.came"
    while [ ! -e "$HANGS" ]; do sleep 0.05; done
    {sbatch} "$@"
    status=$?
    echo $status > "$CASE.status"
    exit $status
fi
exec {sbatch} "$@"
"""


@contextmanager
def hanging(cluster):
    """Stop slurmctld: it takes connections and answers none."""
    pid = cluster.pid("slurmctld")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Crowd:
    """Many submitters, each of a sweep of its own, that all call sbatch while Slurm hangs."""

    def __init__(self, app, plan, folder, count):
        folder.mkdir()
        self.folder, self.count = folder, count
        self.bin = put_on_path(folder / "bin", "sbatch", SBATCH.format(sbatch=shutil.which("sbatch")))
        self.app = app
        self.roots = [copied(plan, folder / f"sweep-{n}") for n in range(count)]
        self.apps = [app.with_notes(folder / f"notes-{n}") for n in range(count)]

    def start(self, n):
        """Start one submitter."""
        own = {"CASE": str(self.folder / f"case-{n}"), "HANGS": str(self.folder / "hangs")}
        env = self.apps[n].env | self.bin | own
        command = [sys.executable, "-c", RESUME, str(self.roots[n])]
        return subprocess.Popen(command, cwd=self.app.folder, env=env, stderr=subprocess.PIPE, text=True)

    def all(self, suffix):
        """Tell whether every submitter has left a mark."""
        return all((self.folder / f"case-{n}.{suffix}").exists() for n in range(self.count))

    def statuses(self):
        """Return the exit status of every first sbatch."""
        return [(self.folder / f"case-{n}.status").read_text().strip() for n in range(self.count)]


def submit_all(crowd, devcluster, *, killed):
    """Let a crowd submit to a Slurm that hangs; kill some of it meanwhile, and let all go on."""
    count = crowd.count
    started = [crowd.start(n) for n in range(count)]
    wait_for(lambda: crowd.all("came"), "every submitter has come to sbatch", 120)
    with hanging(devcluster):
        (crowd.folder / "hangs").touch()
        for process in started[:killed]:
            process.kill()  # its sbatch lives on
        wait_for(lambda: crowd.all("status"), "every sbatch has given up", 120)
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == (-9 if process in started[:killed] else 0), said
    for n in range(killed):
        crowd.app.python("-c", RESUME, crowd.roots[n], check=True, env=crowd.apps[n].env)
    until_over(devcluster)


@pytest.fixture(scope="module")
def app(devcluster, tmp_path_factory):
    """Return the app, with the cluster in its environment."""
    return App.write(tmp_path_factory.mktemp("app") / "a", devcluster.env)


@pytest.fixture(scope="module")
def plan(app, tmp_path_factory):
    """Return a planned sweep of one shard of which nothing was submitted."""
    root = tmp_path_factory.mktemp("plan") / "sweep"
    return planned(app.with_notes(root.parent / "notes"), root, "x=1")


def refuse_duplicates(crowd):
    """Compare what ran with what was planned."""
    counts = [dict(runs(crowd.folder / f"notes-{n}")) for n in range(crowd.count)]
    assert counts == [{1: 1}] * crowd.count
    assert [len(arrays(root)) for root in crowd.roots] == [1] * crowd.count


def test_twenty_ambiguous_submits_run_each_shard_once(app, plan, devcluster, tmp_path):
    """Every sbatch says that it timed out, a quarter of the submitters are killed, and Slurm has all the jobs."""
    crowd = Crowd(app, plan, tmp_path / "crowd", 20)
    submit_all(crowd, devcluster, killed=5)

    assert set(crowd.statuses()) == {"1"}
    refuse_duplicates(crowd)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_ambiguous_submits_run_each_shard_once(app, plan, devcluster, tmp_path):
    """Five crowds of twenty."""
    for n in range(5):
        crowd = Crowd(app, plan, tmp_path / f"crowd-{n}", 20)
        submit_all(crowd, devcluster, killed=4 * n)
        assert set(crowd.statuses()) == {"1"}
        refuse_duplicates(crowd)
