"""Checkpoints in shards: found by the next attempt, gone when they are not needed any more."""

import os
import signal

import pytest

from hpc_sweep.runtime.checkpoints import adopt, remove
from hpc_sweep.runtime.claim import claim
from hpc_sweep.runtime.context import Watched
from hpc_sweep.runtime.pace import SAVE_SHARE, Pace
from hpc_sweep.runtime.stop import Flag
from hpc_sweep.trial import StoppedError


def left(attempt, trial, *epochs):
    """Leave checkpoints in an attempt, each with a text that tells where it came from."""
    folder = attempt.checkpoints(trial)
    folder.mkdir(parents=True)
    for epoch in epochs:
        (folder / f"epoch-{epoch:06d}.ckpt").write_text(f"attempt {attempt.number} epoch {epoch}")


def adopted(attempt, trial="id1"):
    """Return what an attempt has of a trial."""
    folder = attempt.checkpoints(trial)
    return {path.name: path.read_text() for path in sorted(folder.iterdir())} if folder.exists() else {}


def test_the_checkpoints_with_the_most_epochs_are_taken_over(sweep):
    """Wherever they are, the two newest come, and nothing else."""
    one, two, three, own = (claim(sweep, 1) for _ in range(4))
    left(one, "id1", 8, 9)
    left(two, "id1", 3, 4)
    left(three, "id2", 70)
    (one.checkpoints("id1") / ".epoch-000010.ckpt-abc").write_text("half")

    adopt(own, [one, two, three], "id1")

    assert list(adopted(own)) == ["epoch-000008.ckpt", "epoch-000009.ckpt"]


def test_of_equal_epochs_the_later_attempt_is_believed(sweep):
    """It had read the other's."""
    one, two, own = (claim(sweep, 1) for _ in range(3))
    left(one, "id1", 4)
    left(two, "id1", 4)

    adopt(own, [one, two], "id1")

    assert adopted(own) == {"epoch-000004.ckpt": "attempt 2 epoch 4"}


def test_an_attempt_that_still_lives_cannot_take_them_back(sweep):
    """A zombie that drops its generations drops its own names only."""
    one, own = claim(sweep, 1), claim(sweep, 1)
    left(one, "id1", 4)
    adopt(own, [one], "id1")

    remove([one], ["id1"])

    assert adopted(own) == {"epoch-000004.ckpt": "attempt 1 epoch 4"}


def test_where_links_are_missing_they_are_copied(sweep, tmp_path, monkeypatch):
    """A file system without hard links resumes as well."""
    del tmp_path

    def refuse(*args, **kwargs):
        del args, kwargs
        raise PermissionError(1, "Operation not permitted")

    one, own = claim(sweep, 1), claim(sweep, 1)
    left(one, "id1", 4)
    monkeypatch.setattr(os, "link", refuse)

    adopt(own, [one], "id1")

    assert adopted(own) == {"epoch-000004.ckpt": "attempt 1 epoch 4"}


def test_a_fresh_trial_makes_no_folder(sweep):
    """Cheap trials pay nothing."""
    one, own = claim(sweep, 1), claim(sweep, 1)

    adopt(own, [one], "id1")

    assert not own.checkpoints("id1").parent.exists()


def test_a_trial_that_died_with_its_worker_goes_on_from_its_checkpoint(house, counting):
    """In the same attempt, no epoch before the last checkpoint is trained twice."""

    def die_once(trial, epoch):
        if (trial.number, epoch) == (2, 4) and house.note("death") == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    assert house.attempt(counting(house, cut=die_once), save_seconds=0.0) == 0

    epochs = [line for line in house.noted() if line.startswith("id2")]
    assert epochs == [f"id2 {epoch}" for epoch in range(1, 6)]


def test_the_result_of_a_trial_that_was_cut_is_that_of_a_calm_one(house, counting):
    """Cut at every epoch, by the death of its supervisor, the numbers are the same."""
    calm = {f"id{n}": counting(house)(trial, Quiet(house, f"calm{n}")) for n, trial in trials(house)}

    def cut(trial, epoch):
        if house.note(f"cut {trial.id} {epoch}") == 0:
            house.kill_supervisor(trial)

    for _ in range(40):
        process = house.spawn(counting(house, cut=cut), save_seconds=0.0)
        process.join()
        if process.exitcode == 0:
            break

    rows = house.ledger().rows
    assert {row.trial.id: row.result["metrics"] for row in rows} == {t: r.metrics for t, r in calm.items()}


def test_checkpoints_go_when_their_trial_has_an_outcome(house, counting):
    """In every attempt that had some; what other trials left stays."""
    first = claim(house.sweep, 1)
    left(first, "id1")
    (first.checkpoints("id1") / "epoch-000002.ckpt").write_text('[2, "x"]')
    left(first, "unknown", 7)

    house.attempt(counting(house), save_seconds=0.0)

    assert not first.checkpoints("id1").exists()
    assert first.checkpoints("unknown").exists()
    assert list(house.sweep.attempt(1, 2).checkpoints("").iterdir()) == []


@pytest.fixture
def told():
    """Return the events that a context told."""
    return []


def watched(told, stop=None, pace=None):
    """Return a context whose events are kept."""
    return Watched(lambda event, **fields: told.append((event, fields)), 1, None, stop or Flag(), pace or Pace())


def test_a_checkpoint_is_saved_when_the_last_is_old_enough(told):
    """A short trial saves nothing, a long one now and then, and each save is told with its time."""
    saved = []
    watched(told).keep(1, lambda: saved.append(1))
    assert (saved, told) == ([], [])

    context = watched(told, pace=Pace(0.0))
    context.keep(1, lambda: saved.append(1))
    assert saved == [1]
    assert told[0][0] == "saved"


def test_a_slow_save_is_made_less_often(told):
    """Saving takes a small share of the time, however large the model."""
    saved = []
    pace = Pace(1e-9)
    context = watched(told, pace=pace)
    context.keep(1, lambda: saved.append(1))
    pace.spent(60.0)
    context.keep(2, lambda: saved.append(2))

    assert SAVE_SHARE == 0.05
    assert saved == [1]


def test_a_trial_that_is_to_stop_saves_at_once_and_ends(told):
    """However young the last checkpoint is."""
    saved, stop = [], Flag()
    context = watched(told, stop)
    stop.raise_for(15)

    assert context.stop_requested
    with pytest.raises(StoppedError):
        context.keep(1, lambda: saved.append(1))
    assert saved == [1]


class Quiet:
    """A context without a supervisor, with a folder of its own."""

    def __init__(self, house, name):
        self.checkpoint_dir = house.notes.with_name(name)

    def report(self, epoch, metrics):
        """Drop the report."""

    def keep(self, epoch, save):
        """Save after every epoch."""
        del epoch
        save()


def trials(house):
    """Return the trials with their numbers."""
    return [(trial.number, trial) for trial in house.shard().trials]
