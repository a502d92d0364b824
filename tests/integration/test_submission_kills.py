"""A submitter that is killed at any step, and run again: one effective run for each shard, and nothing is lost."""

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.slurm_fixture import wait_for
from tests.integration.sweeping import App, arrays, copied, planned, put_on_path, runs, until_over

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

RESUME = "import sys; from pathlib import Path; from hpc_sweep.paths import Sweep; from hpc_sweep.cluster import confirming; from hpc_sweep.cluster.resume import resume; print(resume(Sweep(Path(sys.argv[1])), lambda: confirming).text)"  # noqa: E501
"""What ``hpc-sweep resume`` does, without the imports of the other verbs."""

STEPS = ("link", "unlink", "vfork", "wait4")
"""The calls by which a submitter changes the world: a file gets its name, the next step, a command begins, it runs."""

AT_ONCE = 6
"""How many cases run side by side: most of their time they wait for Slurm."""


@pytest.fixture(scope="module")
def app(devcluster, tmp_path_factory):
    """Return the app, with the cluster in its environment."""
    return App.write(tmp_path_factory.mktemp("app") / "a", devcluster.env)


@pytest.fixture(scope="module")
def plan(app, tmp_path_factory):
    """Return a planned sweep of two shards of which nothing was submitted."""
    root = tmp_path_factory.mktemp("plan") / "sweep"
    planned(app.with_notes(root.parent / "notes"), root, "x=1,2")
    return root


def killed_at(app, root, call, number):
    """Resume a sweep under strace, which kills it on entering the given call for the number-th time."""
    inject = f"--inject={call}:signal=KILL:when={number}"
    return app.python("-c", RESUME, root, under=("strace", "-qq", "-o", "/dev/null", f"--trace={call}", inject))


def steps(app, plan, tmp_path):
    """Count how often an undisturbed submitter makes each call."""
    root, trace = copied(plan, tmp_path / "dry"), tmp_path / "trace"
    one = app.with_notes(tmp_path / "dry-notes")
    one.python("-c", RESUME, root, check=True, under=("strace", "-qq", "-o", trace, f"--trace={','.join(STEPS)}"))
    calls = [match[1] for line in trace.read_text().splitlines() if (match := re.match(r"(\w+)\(", line))]
    return {call: calls.count(call) for call in STEPS}


def test_a_submitter_killed_at_every_step_submits_each_shard_once(app, plan, devcluster, tmp_path, need):
    """It dies on entering each call that changes anything; the next one goes on where it ended."""
    need("strace", "apt-get install strace")
    counts = steps(app, plan, tmp_path)
    cases = [(call, number) for call, total in counts.items() for number in range(1, total + 1)]
    assert len(cases) >= 15, counts

    def die_and_go_on(case):
        name = f"{case[0]}-{case[1]}"
        root, one = copied(plan, tmp_path / name), app.with_notes(tmp_path / f"{name}-notes")
        killed = killed_at(one, root, *case)
        # How often it waits for a child varies by one or two; a step that did not come killed nobody.
        assert killed.returncode in ({-9, 137, 0} if case[0] == "wait4" else {-9, 137}), (case, killed.stderr)
        one.python("-c", RESUME, root, check=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(die_and_go_on, cases))
    until_over(devcluster)

    found = {(call, number): runs(tmp_path / f"{call}-{number}-notes") for call, number in cases}
    assert {case: dict(count) for case, count in found.items() if count != {1: 1, 2: 1}} == {}


SBATCH = """#!/bin/sh
# Ends its caller before or after the real sbatch, once.
if mkdir "$CASE.done" 2>/dev/null; then
    case "$WHEN" in
        before) kill -KILL $PPID; exit 1 ;;
        after) {sbatch} "$@"; kill -KILL $PPID; exit 0 ;;
        self) {sbatch} "$@" >/dev/null; kill -KILL $$ ;;
        mute) {sbatch} "$@" >/dev/null; exit 1 ;;
    esac
fi
exec {sbatch} "$@"
"""


@pytest.mark.parametrize("when", ["before", "after", "self", "mute"])
def test_death_around_sbatch_leads_to_one_job(app, plan, devcluster, tmp_path, when):
    """The submitter dies before or after sbatch, or sbatch dies or says nothing although the job is there."""
    root, one = copied(plan, tmp_path / "sweep"), app.with_notes(tmp_path / "notes")
    env = put_on_path(tmp_path / "bin", "sbatch", SBATCH.format(sbatch=shutil.which("sbatch")))
    env |= {"CASE": str(tmp_path / "case"), "WHEN": when}

    first = one.python("-c", RESUME, root, env=env)
    second = one.python("-c", RESUME, root, env=env)
    until_over(devcluster)

    assert (first.returncode == 0) == (when in {"self", "mute"}), first.stderr
    assert second.returncode == 0, second.stderr
    assert runs(tmp_path / "notes") == {1: 1, 2: 1}
    assert len(arrays(root)) == 1


def test_a_ghost_job_finds_its_shards_taken(app, plan, devcluster, tmp_path):
    """The script of a submission that is sent a second time, by whomever, starts and does nothing."""
    root, one = copied(plan, tmp_path / "sweep"), app.with_notes(tmp_path / "notes")
    one.python("-c", RESUME, root, check=True)
    (array_script, *_) = [path for path in (root / "submissions").glob("*.sbatch") if "--array" in path.read_text()]
    for _ in range(2):
        devcluster.sbatch(array_script, env=one.env)
    until_over(devcluster)

    said = [path.read_text() for path in (root / "submissions" / "output").glob("*_0.log")]
    assert runs(tmp_path / "notes") == {1: 1, 2: 1}
    assert sum("runs this part of submission" in text for text in said) == 2


def test_two_submitters_at_once_are_one(app, plan, devcluster, tmp_path):
    """Four people type resume in the same second."""
    root, one = copied(plan, tmp_path / "sweep"), app.with_notes(tmp_path / "notes")
    started = [_start(one, root) for _ in range(4)]
    ended = [process.wait(120) for process in started]
    one.python("-c", RESUME, root, check=True)
    until_over(devcluster)

    assert set(ended) <= {0, 1}  # 1: the traceback of a one-line program; the command says 75 and one sentence
    assert runs(tmp_path / "notes") == {1: 1, 2: 1}


def _start(app, root):
    command = [sys.executable, "-c", RESUME, str(root)]
    return subprocess.Popen(command, cwd=app.folder, env=app.env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def test_the_steward_of_a_killed_submitter_is_made_up_for(app, devcluster, tmp_path):
    """The arrays are in the queue and their submitter died before the steward: the next one sends only that."""
    one = app.with_notes(tmp_path / "notes")
    root = planned(one, tmp_path / "sweep", "x=1,2", "how=wait")
    env = put_on_path(tmp_path / "bin", "sbatch", STEWARDLESS.format(sbatch=shutil.which("sbatch")))
    assert one.python("-c", RESUME, root, env=env).returncode == -9
    one.python("-c", RESUME, root, check=True)
    (tmp_path / "notes" / "go").touch()
    wait_for((root / "decision" / "decision.json").exists, "the steward collected", 120)
    until_over(devcluster)

    assert len(arrays(root)) == 1
    assert runs(tmp_path / "notes") == {1: 1, 2: 1}


STEWARDLESS = """#!/bin/sh
case "$*" in *dependency*) kill -KILL $PPID; exit 1 ;; esac
exec {sbatch} "$@"
"""
