"""The fault matrix, what befalls files: damage, leftovers, moved and shared folders, collectors; docs/faults.md.

Most of it happens to copies of a finished sweep, which need no cluster.
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from typing import ClassVar

import pytest

from tests.faults import nemesis
from tests.faults.drill import APP, Drill, run_calmly, same_as
from tests.faults.nemesis import Scene

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def local():
    """Return what stands in for a cluster where none is needed."""
    return _Here()


class _Here:
    """Runs commands on this machine, with Slurm out of reach."""

    env: ClassVar[dict] = {}

    def run(self, *argv, check=True, **options):
        """Run a command and capture its words."""
        env = {**os.environ, **options.pop("env", {}), "SLURM_CONF": "/nonexistent/slurm.conf", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(list(map(str, argv)), env=env, capture_output=True, text=True, **options)
        assert not (check and done.returncode), done.stdout + done.stderr
        return done


@pytest.fixture
def copy(calm, local, tmp_path):
    """Return a copy of the calm sweep that nobody else has."""
    shutil.copytree(calm.root, tmp_path / "copy", symlinks=True)
    return Drill(local, tmp_path / "copy")


def entries(drill):
    """Return the results of the only shard."""
    return sorted(drill.sweep.shard(1).glob("0*.json"))


def derived(drill):
    """Return the digest of every derived file."""
    files = sorted([*drill.sweep.merged.rglob("*"), *drill.sweep.decision.rglob("*")])
    return {
        str(path.relative_to(drill.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file()
    }


HARMS = {
    "f31-truncated": lambda content: content[: len(content) // 2],
    "f32-flipped": lambda content: content.replace(b'"completed"', b'"cOmpleted"', 1),
    "f32-zeroed": lambda content: content[:100] + bytes(len(content) - 100),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_entry_is_named_and_its_trials_are_trained_again(copy, calm, harm):
    """It is neither believed nor deleted; what it held is lost until `resume`, and then everything is as before.

    Ten thousand other harms are in tests/property/test_malformed.py.
    """
    (victim, *_) = entries(copy)
    victim.write_bytes(HARMS[harm](victim.read_bytes()))
    harmed = victim.read_bytes()
    collected = copy.verb("collect")

    assert "Traceback" not in collected.stderr
    assert str(victim.name) in copy.sweep.report_md.read_text()
    lost = [row for row in copy.table() if row["status"] == "lost"]
    assert lost
    assert copy.verb("resume").returncode == 0
    copy.verb("collect")
    assert copy.table() == calm.table()
    assert victim.read_bytes() == harmed


def test_f31_an_entry_that_was_moved_away_hides_what_follows_until_resume(copy, calm):
    """Status and report name the hole; the next attempt fills it with what its predecessors finished."""
    first, *behind = entries(copy)
    first.unlink()
    text = f"The log shards/0001 has no entry 000001: {len(behind)} "

    assert behind
    assert any(text in problem for problem in copy.status()["problems"])
    assert text in copy.verb("status").stdout
    copy.verb("collect")
    assert text in copy.sweep.report_md.read_text()
    assert copy.verb("resume").returncode == 0
    assert copy.status()["problems"] == []
    assert copy.verb("collect").returncode == 0
    assert copy.table() == calm.table()


def test_f31_collect_tells_by_its_status_that_a_record_is_damaged(tmp_path, local):
    """The trials of the other shard are ranked, and the exit status is not that of a whole sweep."""
    drill = run_calmly(tmp_path / "sweep", "hydra.launcher.trials_per_shard=3")
    drill = Drill(local, drill.root)
    for victim in entries(drill):
        victim.write_bytes(victim.read_bytes()[:-10])
    done = drill.verb("collect")

    assert drill.decision()["winner"] is not None
    assert done.returncode == 1


def test_f31_damaged_derived_files_are_made_again(copy, calm):
    """Whatever happens to tables and decision, the next collector writes them anew, byte for byte."""
    whole = derived(copy)
    scene = Scene(copy, random.Random(7))
    for _ in range(6):
        nemesis.damage_derived(scene)
    done = copy.verb("collect")

    assert done.returncode == 0, done.stderr
    assert derived(copy) == whole
    assert same_as(copy, calm)


def test_f36_leftover_temporaries_are_ignored(copy):
    """A thousand half files of dead writers in every log change nothing."""
    whole = derived(copy)
    for folder in (copy.sweep.plan, copy.sweep.submissions, copy.sweep.shard(1)):
        for number in range(1000):
            (folder / f".000001.json-{number:032x}").write_bytes(b'{"schema"')
    done = copy.verb("collect")

    assert done.returncode == 0, done.stderr
    assert derived(copy) == whole
    assert copy.status()["counts"] == {**copy.status()["counts"], "completed": 6}


def test_f37_a_moved_folder_is_the_same_sweep(copy, calm):
    """Status, collect and resume work wherever it lies, also behind a link, and the tables stay as they are."""
    moved = copy.root.with_name("elsewhere ü 'quoted'")
    copy.root.rename(moved)
    copy.root.symlink_to(moved)
    for root in (moved, copy.root):
        drill = Drill(copy.cluster, root)
        assert drill.verb("status").returncode == 0
        assert drill.verb("collect").returncode == 0
        assert "Nothing is left" in drill.verb("resume").stdout
        assert same_as(drill, calm)


@pytest.mark.parametrize(
    ("override", "said"),
    [("epochs=13", "epochs"), ("hydra.launcher.objective.mode=min", "objective.mode")],
    ids=["f38-configuration", "f38-objective"],
)
def test_a_second_sweep_in_the_folder_is_refused(copy, override, said):
    """One sentence names what differs, and nothing is written."""
    before = derived(copy)
    launcher = ("hydra/launcher=sharded_local",)
    done = copy.run(*copy.command("pace.seconds=0", override, launcher=launcher))

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert derived(copy) == before


def test_f38_records_of_two_sweeps_in_one_folder_are_refused(copy, tmp_path):
    """An entry of another sweep was copied in: every verb says so, and writes nothing."""
    other = run_calmly(tmp_path / "other", grid=("x=5,6", "seed=1"))
    shutil.copy(entries(other)[0], copy.sweep.shard(1) / f"{len(entries(copy)) + 1:06d}.json")
    before = derived(copy)
    for verb in ("status", "collect", "resume"):
        done = copy.verb(verb)

        assert done.returncode == 2, verb
        assert "two sweeps" in done.stderr
    assert derived(copy) == before


def test_f40_eight_collectors_at_once_leave_what_one_leaves(copy):
    """The same bytes, whoever is last."""
    whole = derived(copy)
    shutil.rmtree(copy.sweep.merged)
    shutil.rmtree(copy.sweep.decision)
    command = (sys.executable, "-m", "hpc_sweep.cli", "collect", str(copy.root))
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=APP.parent) for _ in range(8)]

    assert [process.wait(200) for process in processes] == [0] * 8
    assert derived(copy) == whole


def test_f40_collectors_race_one_that_records_a_choice(copy):
    """Four collect while four more record a choice: it is told, and the bytes are those that one alone leaves."""
    pick = copy.decision()["winner"]["trials"]
    number = next(number for number in range(1, 7) if number not in pick)
    command = (sys.executable, "-m", "hpc_sweep.cli", "collect", str(copy.root))
    chosen = (*command, "--choose", str(number), "--reason", "smaller")
    commands = [command, chosen] * 4
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=APP.parent) for command in commands]

    assert [process.wait(200) for process in processes] == [0] * 8
    assert copy.decision()["choice"]["trial"] == number
    found = derived(copy)
    shutil.rmtree(copy.sweep.merged)
    shutil.rmtree(copy.sweep.decision)
    assert copy.verb("collect").returncode == 0
    assert derived(copy) == found


def test_f40_collectors_race_after_records_vanished(copy):
    """Eight write the same bytes: the decision that there was is replaced, and what it knew of is remembered."""
    max(copy.sweep.shard(1).glob("0*.json")).unlink()
    command = (sys.executable, "-m", "hpc_sweep.cli", "collect", str(copy.root))
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=APP.parent) for _ in range(8)]

    assert {process.wait(200) for process in processes} <= {0, 1}
    found = derived(copy)
    copy.verb("collect")
    assert derived(copy) == found
    assert [alarm["kind"] for alarm in copy.decision()["alarms"]].count("vanished_records") == 1


def test_f15_a_collector_that_is_killed_anywhere(copy):
    """Killed before the first, third and sixth of its files: the next one completes, and the bytes are the same."""
    whole = derived(copy)
    script = (
        "import os, sys; from hpc_sweep import records, paths; from hpc_sweep.report import collect as module\n"
        "from pathlib import Path; left = [int(sys.argv[2])]; put = module._put\n"
        "def limited(*given):\n"
        "    left[0] -= 1\n"
        "    os._exit(9) if left[0] < 0 else put(*given)\n"
        "module._put = limited; module.collect(paths.Sweep(Path(sys.argv[1])))\n"
    )
    for number in (0, 2, 5):
        shutil.rmtree(copy.sweep.merged, ignore_errors=True)
        done = copy.run(sys.executable, "-c", script, copy.root, number)
        assert done.returncode in {0, 9}
        assert copy.verb("collect").returncode == 0
        assert derived(copy) == whole
