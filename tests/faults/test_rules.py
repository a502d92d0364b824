"""The rules that no fault may bend, each by one quick test; `test_broken_builds.py` breaks them one by one."""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from hpc_sweep import ledger, records
from hpc_sweep.cluster.intent import Intent, submissions
from hpc_sweep.cluster.submission import Submitter
from hpc_sweep.objective import Objective
from hpc_sweep.paths import Sweep
from hpc_sweep.plan import append_part
from hpc_sweep.runtime.book import Book, SupersededError
from hpc_sweep.runtime.claim import claim
from hpc_sweep.runtime.stop import Signals
from hpc_sweep.trial import Status, Trial

SWEEP = "0123456789abcdef"


@pytest.fixture
def sweep(tmp_path):
    """Return a sweep of two trials in one shard."""
    place = Sweep(tmp_path / "sweep")
    place.root.mkdir()
    ledger.write_identity(place, ledger.Identity(SWEEP, Objective("val/score", "max"), "", {}, "", {}, ""))
    trials = [Trial(n, f"id{n}", (f"x={n}",), {"x": n}, None, ()) for n in (1, 2)]
    append_part(place.plan, trials, [2], sweep=SWEEP, base={}, form="rebuilt")
    return place


def ended(score, **more):
    """Return how a try ended."""
    return {"outcome": "completed", "metrics": {"val/score": score}, "error": None, **more}


def published(sweep):
    """Return what the shard's log says, in order."""
    entries = records.read(sweep.shard(1), sweep=SWEEP)
    return [(line["trial"], line["outcome"]) for entry in entries for line in entry.body.get("results", ())]


def rows(sweep):
    """Return where the two trials stand."""
    return ledger.read_ledger(sweep, over={1}).rows


def test_an_entry_is_durable_before_it_has_its_number(tmp_path, monkeypatch):
    """The file is fsynced, then linked, then its folder is fsynced."""
    calls, fsync, link = [], os.fsync, os.link

    def note_fsync(descriptor):
        calls.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def note_link(*names, **options):
        calls.append("link")
        link(*names, **options)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "link", note_link)
    records.append(tmp_path, records.Kind.RESULT, {}, sweep=SWEEP)

    assert calls == ["file", "link", "folder"]


def test_a_finished_line_is_durable(sweep, monkeypatch):
    """What is finished is fsynced before anybody is told."""
    book = Book(sweep, SWEEP, 1, claim(sweep, 1))
    synced, fsync = [], os.fsync

    def note(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)

    book.finished("id1", ended(1.0))

    assert synced[0].endswith("results.jsonl")
    book.release()


def test_a_published_entry_is_never_replaced(tmp_path):
    """A number that is taken refuses."""
    records.append(tmp_path, records.Kind.RESULT, {"first": True}, sweep=SWEEP)
    number = records.append(tmp_path, records.Kind.RESULT, {"first": False}, sweep=SWEEP, at=1)

    assert number == 0
    assert next(records.read(tmp_path, sweep=SWEEP)).body == {"first": True}


def test_a_restarted_controller_gives_no_attempt_twice(sweep, monkeypatch):
    """The same job with the same restart count claims twice and gets two attempts."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")

    assert [claim(sweep, 1).number for _ in range(2)] == [1, 2]


def test_an_older_attempt_publishes_nothing(sweep):
    """As soon as there is a newer attempt."""
    book = Book(sweep, SWEEP, 1, claim(sweep, 1))
    book.finished("id1", ended(1.0))
    claim(sweep, 1)

    with pytest.raises(SupersededError):
        book.publish()
    assert published(sweep) == []
    book.release()


def test_two_publishers_of_one_finished_trial_write_it_once(sweep):
    """Both inherited it, and the second appends only after it has read what the first wrote."""
    dead = Book(sweep, SWEEP, 1, claim(sweep, 1))
    dead.finished("id1", ended(1.0))
    dead.release()
    first = Book(sweep, SWEEP, 1, claim(sweep, 1))
    second = Book(sweep, SWEEP, 1, claim(sweep, 1))
    second.history()
    with suppress(SupersededError):
        first.history()

    assert published(sweep) == [("id1", "completed")]
    first.release()
    second.release()


def test_an_outcome_outranks_a_failure(sweep):
    """Whichever was published later."""
    failed = {
        "outcome": None,
        "metrics": {},
        "error": {"reason": "exception", "text": "", "retryable": False, "tries": 1},
    }
    for fields in (ended(1.0), failed):
        line = {"trial": "id1", "attempt": "0001/1", **fields}
        records.append(sweep.shard(1), records.Kind.RESULT, {"results": [line]}, sweep=SWEEP)

    assert rows(sweep)[0].status is Status.COMPLETED


def test_the_first_of_two_outcomes_stands(sweep):
    """And the other one is kept as evidence."""
    for attempt, score in ((1, 1.0), (2, 2.0)):
        line = {"trial": "id1", "attempt": f"0001/{attempt}", **ended(score)}
        records.append(sweep.shard(1), records.Kind.RESULT, {"results": [line]}, sweep=SWEEP)
    state = ledger.read_ledger(sweep)

    assert state.rows[0].result["metrics"] == {"val/score": 1.0}
    assert len(state.late) == 1


def test_a_torn_line_was_never_finished(sweep):
    """A line without its end is left out, and its trial is trained again."""
    dead = Book(sweep, SWEEP, 1, claim(sweep, 1))
    dead.finished("id1", ended(1.0))
    dead.release()
    path = sweep.attempt(1, 1).results
    path.write_bytes(path.read_bytes()[:-1])

    assert records.read_lines(path) == []


def test_a_changed_byte_is_seen(sweep):
    """A digit of a published metric was flipped."""
    records.append(sweep.shard(1), records.Kind.RESULT, {"results": [{"trial": "id1", **ended(0.25)}]}, sweep=SWEEP)
    (path,) = sweep.shard(1).glob("0*.json")
    path.write_text(path.read_text().replace("0.25", "0.95"))
    state = ledger.read_ledger(sweep, over={1})

    assert state.rows[0].result is None
    assert len(state.problems) == 1


def test_what_follows_a_hole_is_not_read(sweep):
    """The entry in between is not visible yet, and the order is what counts."""
    for n in (1, 2, 3):
        records.append(sweep.shard(1), records.Kind.RESULT, {"n": n}, sweep=SWEEP)
    (sweep.shard(1) / "000002.json").rename(sweep.root / "elsewhere")

    assert [entry.number for entry in records.read(sweep.shard(1), sweep=SWEEP)] == [1]


def test_what_looks_cut_is_read_again_before_it_is_called_corrupt(sweep, monkeypatch):
    """A cache shows half an entry for a while."""
    monkeypatch.setenv("HPC_SWEEP_PATIENCE", "20")
    records.append(sweep.shard(1), records.Kind.RESULT, {"results": []}, sweep=SWEEP)
    (path,) = sweep.shard(1).glob("0*.json")
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    later = threading.Timer(0.3, path.write_bytes, [whole])
    later.start()
    state = ledger.read_ledger(sweep)
    later.join()

    assert state.problems == ()


def test_a_signal_only_asks():
    """A storm of signals raises nothing, wherever the program is."""
    with Signals() as signals:
        for _ in range(100):
            os.kill(os.getpid(), 12)
        assert signals.flag.signal == 12


FAKES = {
    "sbatch": """
[ -e {folder}/seen ] || ls {folder}/sweep/submissions > {folder}/seen
name=$(sed -n 's/^#SBATCH --job-name=//p' "${{@: -1}}")
echo call >> {folder}/calls
job=$(wc -l < {folder}/calls)
echo "$(id -un)|$job|0|$name|PENDING|None" >> {folder}/queue
[ "$job" = 1 ] && {{ echo "sbatch: error: Batch job submission failed: Socket timed out" >&2; exit 1; }}
echo $job
""",
    "squeue": "cat {folder}/queue",
    "scontrol": "echo 'MessageTimeout          = 1 sec'",
    "sacct": "exit 1",
}


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """Put a Slurm on PATH whose first sbatch submits and says that it failed."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "queue").touch()
    for name, text in FAKES.items():
        (tmp_path / "bin" / name).write_text("#!/bin/bash\n" + text.format(folder=tmp_path))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def submitter(sweep):
    """Return who submits the sweep."""
    (sweep.code).mkdir()
    return Submitter(sweep, SWEEP, Intent("", "slurm", (), 1, str(sweep.root), (), parameters={"timeout_min": 1}))


def test_a_failed_sbatch_is_looked_up_and_not_repeated(fake_slurm, submitter):
    """The array's sbatch failed and submitted; then there is one array and one steward, and no third job."""
    sent = submitter.submit(lambda _: [1])

    assert sent.arrays == ["1"]
    assert len((fake_slurm / "calls").read_text().splitlines()) == 2


def test_an_intent_is_published_before_sbatch(fake_slurm, submitter, sweep):
    """Nothing that a job needs is written after it was submitted."""
    submitter.submit(lambda _: [1])

    assert "000001.json" in (fake_slurm / "seen").read_text()
    assert [one.intent.role for one in submissions(sweep, SWEEP)] == ["array", "steward"]


def test_nothing_unplanned_is_imported():
    """The tests of a broken build look at the build and at nothing else."""
    code = "import hpc_sweep; print(hpc_sweep.__file__)"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)

    assert done.stdout.strip() == str(Path(records.__file__).resolve().parent.parent / "__init__.py")
