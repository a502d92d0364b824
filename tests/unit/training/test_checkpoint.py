"""Checkpoints: two generations, nothing half there, nothing of another trial."""

from __future__ import annotations

import pickle

import pytest
import torch

from hpc_sweep.errors import SweepError, UserError
from hpc_sweep.records import digest
from hpc_sweep.training.checkpoint import Checkpoints

CPU = torch.device("cpu")
CONFIGURATION = {"model": {"dropout": 0.4}, "optimizer": {"lr": 0.001}, "seed": 1}


def of(folder, configuration=CONFIGURATION, data="d" * 64):
    """Return the checkpoints of a trial."""
    return Checkpoints(folder, digest(configuration), configuration, data)


def state(epoch):
    """Return a state that tells its epoch."""
    return {"model": {"w": torch.full((4,), float(epoch))}, "epoch": epoch, "curves": {"val/accuracy": [0.5] * epoch}}


@pytest.fixture
def saved(tmp_path):
    """Return a folder with the generations of epochs 1 to 3 saved."""
    for epoch in (1, 2, 3):
        of(tmp_path).save(epoch, state(epoch))
    return tmp_path


def test_the_newest_comes_back(saved):
    """What was saved last is loaded, tensors and values."""
    loaded = of(saved).load(CPU)

    assert (loaded.epoch, loaded.unreadable) == (3, ())
    assert torch.equal(loaded.state["model"]["w"], torch.full((4,), 3.0))
    assert loaded.state["curves"] == {"val/accuracy": [0.5, 0.5, 0.5]}


def test_two_generations_are_kept_and_nothing_beside(saved):
    """Older generations and temporary files are gone."""
    assert sorted(path.name for path in saved.iterdir()) == ["epoch-000002.ckpt", "epoch-000003.ckpt"]


def test_without_a_checkpoint_there_is_nothing_to_load(tmp_path):
    """An empty or missing folder is a fresh start."""
    assert of(tmp_path).load(CPU) is None
    assert of(tmp_path / "missing").load(CPU) is None
    assert not (tmp_path / "missing").exists()


def truncate(path):
    """Lose the last third."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def flip_payload(path):
    """Flip one bit near the end."""
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def flip_header(path):
    """Flip one bit in the header, which must not look like another configuration."""
    content = bytearray(path.read_bytes())
    content[content.index(b"0.001")] ^= 1
    path.write_bytes(content)


def empty(path):
    """Lose everything."""
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_payload, flip_header, empty])
def test_a_damaged_newest_falls_back_to_the_one_before(saved, damage):
    """A file whose checksums do not fit is passed over, and named."""
    damage(saved / "epoch-000003.ckpt")
    loaded = of(saved).load(CPU)

    assert (loaded.epoch, loaded.unreadable) == (2, ("epoch-000003.ckpt",))


def test_when_all_are_damaged_the_trial_starts_afresh(saved):
    """Nothing to go on from is no error."""
    for path in saved.iterdir():
        empty(path)

    assert of(saved).load(CPU) is None


def test_another_configuration_is_refused_naming_the_field(saved):
    """The field that differs is named with both values, and nothing is removed."""
    other = {**CONFIGURATION, "optimizer": {"lr": 0.01}}

    with pytest.raises(UserError, match=r"optimizer\.lr was 0\.001 and is now 0\.01"):
        of(saved, other).load(CPU)
    assert len(list(saved.iterdir())) == 2


def test_a_field_that_is_new_is_named(saved):
    """A configuration with one key more is another one."""
    with pytest.raises(UserError, match=r"momentum was 'absent' and is now 0\.9"):
        of(saved, {**CONFIGURATION, "momentum": 0.9}).load(CPU)


def test_other_data_are_refused(saved):
    """A checkpoint is bound to the content of its data."""
    with pytest.raises(UserError, match="trained on data dddddddddddd, and the data are now eeeeeeeeeeee"):
        of(saved, data="e" * 64).load(CPU)


def test_a_leftover_of_a_dead_writer_is_removed(saved):
    """A process that died while writing leaves a file beside, which the next one removes."""
    leftover = saved / ".epoch-000004.ckpt-0123"
    leftover.write_bytes(b"half")

    assert of(saved).load(CPU).epoch == 3
    assert not leftover.exists()


def test_a_disk_that_refuses_is_told_in_a_sentence(tmp_path):
    """Where the folder cannot be made the error names the file, and what to do."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SweepError, match="could not be written") as caught:
        of(tmp_path / "file").save(1, state(1))
    assert "epoch-000001.ckpt" in caught.value.where


class Payload:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_checkpoint_never_runs_code(tmp_path, capsys):
    """A payload that would call something is damaged goods, however well its checksums fit."""
    of(tmp_path).save(1, {"model": Payload()})

    assert of(tmp_path).load(CPU) is None
    assert "unpickled" not in capsys.readouterr().out
    assert pickle.loads(pickle.dumps(Payload())) is None
