"""One trial from the first epoch to its result: what is measured, what repeats, what survives."""

from __future__ import annotations

import math
import shutil

import pytest
import torch

from hpc_sweep.errors import UserError
from hpc_sweep.training.loop import fit
from hpc_sweep.trial import Outcome, Quiet

CPU = torch.device("cpu")


def run(toy, cfg, context=None):
    """Train on the CPU; the seconds of the slowest epoch are no part of what repeats."""
    result = fit(toy, cfg, context or Quiet(), CPU)
    result.extras["stack"].pop("epoch_seconds", None)
    return result


def newest(folder):
    """Return the captured state of the newest checkpoint, past its header."""
    path = max(folder.glob("epoch-*.ckpt"))
    text = path.read_bytes().split(b"\n", 2)[2]
    (folder / "payload").write_bytes(text)
    state = torch.load(folder / "payload", weights_only=True)
    (folder / "payload").unlink()
    return state


def tensors(state):
    """Yield every tensor in a captured state, with its path."""
    if isinstance(state, torch.Tensor):
        yield (), state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from (((key, *path), tensor) for path, tensor in tensors(value))


def test_the_toy_is_learned(toy, config):
    """Training lowers the cross-entropy below chance and lifts the accuracy above it."""
    result = run(toy, config(epochs=12))

    assert result.outcome is Outcome.COMPLETED
    assert result.metrics["val/cross_entropy"] < math.log(3)
    assert result.metrics["val/accuracy"] > 0.6


def test_the_result_has_every_metric_by_split_and_name(toy, config):
    """Names are split/name; each has one value an epoch, and the last is the metric."""
    result = run(toy, config())
    shared = ["cross_entropy", "accuracy", "macro_f1"]
    expected = {f"{split}/{name}" for split in ("train", "val") for name in shared}
    expected |= {"train/loss", "train/penalty", "val/recall_low", "val/recall_middle", "val/recall_high"}

    assert set(result.metrics) == expected
    assert {len(curve) for curve in result.curves.values()} == {4}
    assert result.metrics == {name: curve[-1] for name, curve in result.curves.items()}
    assert (result.epochs, result.device, result.note) == (4, "cpu", "")


def test_the_extras_agree_with_the_metrics(toy, config):
    """Confusion matrix and per-item record are of the last epoch and give the same accuracy."""
    result = run(toy, config())
    matrix, correct = torch.tensor(result.extras["val/confusion"]), result.extras["val/correct"]

    assert matrix.sum() == len(correct) == result.extras["n"]["val"] == 15
    assert matrix.trace() == correct.count("1") == round(result.metrics["val/accuracy"] * 15)
    assert result.extras["n"]["train"] == 46
    assert result.extras["classes"] == ["low", "middle", "high"]
    assert (result.extras["data"], result.extras["threads"]) == ("d" * 64, 1)
    assert result.extras["torch"] == torch.__version__


def test_the_loss_is_cross_entropy_and_penalty(toy, config):
    """Without class weights the loss that is descended is what the two metrics add up to."""
    metrics = run(toy, config()).metrics

    assert metrics["train/penalty"] > 0
    assert math.isclose(metrics["train/loss"], metrics["train/cross_entropy"] + metrics["train/penalty"], rel_tol=1e-5)


def test_weight_decay_is_no_penalty(toy, config):
    """Where L2 acts in the optimizer there is no penalty to report."""
    assert "train/penalty" not in run(toy, config(optimizer__l2_as="weight_decay")).metrics


def test_each_epoch_is_reported(toy, config, recorder):
    """The context hears every epoch once, in order, with the values of the curves."""
    context = recorder()
    result = run(toy, config(), context)

    assert [epoch for epoch, _ in context.told] == [1, 2, 3, 4]
    assert [told["val/accuracy"] for _, told in context.told] == result.curves["val/accuracy"]


def test_the_slowest_epoch_that_was_trained_here_is_told(toy, config, recorder, tmp_path):
    """What had finished before has none."""
    first, again = (fit(toy, config(), recorder(tmp_path), CPU) for _ in range(2))

    assert 0 < first.extras["stack"]["epoch_seconds"] < 60
    assert "epoch_seconds" not in again.extras["stack"]


def test_one_seed_gives_one_result_and_another_gives_another(toy, config):
    """Equal configurations have equal results, all of them; the seed changes them."""
    first = run(toy, config())

    assert run(toy, config()) == first
    assert run(toy, config(seed=2)).curves != first.curves


def test_the_state_of_the_process_does_not_matter(toy, config):
    """The global generator's state before a trial changes nothing in it, nor the trial the generator's."""
    torch.manual_seed(1)
    first = run(toy, config())
    torch.manual_seed(2)
    torch.rand(7)
    before = torch.get_rng_state()

    assert run(toy, config()) == first
    assert torch.equal(torch.get_rng_state(), before)


SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "l2": 0.0, "l2_as": "penalty", "clip_norm": None}


@pytest.mark.parametrize("changes", [{}, {"optimizer__name": "adamw"}, {"optimizer": SGD}])
def test_a_resumed_trial_equals_an_uninterrupted_one_bit_for_bit(toy, config, recorder, tmp_path, changes):
    """After a stop at any epoch: weights, buffers, optimizer, schedule, metrics, curves and per-item record."""
    whole = run(toy, config(**changes), recorder(tmp_path / "whole"))
    for stop in (1, 3):
        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises(KeyboardInterrupt):
            run(toy, config(**changes), Stopping(folder, stop))
        resumed = run(toy, config(**changes), recorder(folder))

        assert resumed == whole
        expected, found = dict(tensors(newest(tmp_path / "whole"))), dict(tensors(newest(folder)))
        assert len(expected) > 10
        assert expected.keys() == found.keys()
        assert all(torch.equal(value, found[path]) for path, value in expected.items())
        assert newest(folder)["scheduler"] == newest(tmp_path / "whole")["scheduler"]


class Stopping:
    """A context that interrupts the trial in the epoch after the last one that it lets be kept."""

    threads, stop_requested = 1, False

    def __init__(self, checkpoint_dir, last):
        self.checkpoint_dir, self.last = checkpoint_dir, last

    def report(self, epoch, metrics):
        """Stop as a person would, before the epoch's checkpoint."""
        del metrics
        if epoch > self.last:
            raise KeyboardInterrupt

    def keep(self, epoch, save):
        """Save after every epoch."""
        del epoch
        save()


def test_a_resumed_trial_does_not_repeat_epochs(toy, config, recorder, tmp_path):
    """Only the epochs after the checkpoint are trained."""
    with pytest.raises(KeyboardInterrupt):
        run(toy, config(), Stopping(tmp_path, 2))
    context = recorder(tmp_path)
    run(toy, config(), context)

    assert [epoch for epoch, _ in context.told] == [3, 4]


def test_a_trial_that_had_finished_gives_its_result_again(toy, config, recorder, tmp_path):
    """A death between the last checkpoint and the record costs nothing."""
    whole = run(toy, config(), recorder(tmp_path))
    context = recorder(tmp_path)

    assert run(toy, config(), context) == whole
    assert context.told == []


def test_a_damaged_checkpoint_costs_one_epoch_and_a_note(toy, config, recorder, tmp_path):
    """The trial goes on from the generation before, with the same numbers, and says so."""
    whole = run(toy, config(), recorder(tmp_path))
    (tmp_path / "epoch-000004.ckpt").write_bytes(b"")
    resumed = run(toy, config(), recorder(tmp_path))

    assert resumed.note == "went on from epoch 3, for epoch-000004.ckpt is damaged"
    assert (resumed.metrics, resumed.curves, resumed.extras) == (whole.metrics, whole.curves, whole.extras)


def test_what_cannot_change_the_result_may_change_between_attempts(toy, config, recorder, tmp_path):
    """A moved data folder is excluded from the identity; a learning rate is not."""
    run(toy, config(), recorder(tmp_path))

    assert run(toy, config(data__root="/two"), recorder(tmp_path)).epochs == 4
    with pytest.raises(UserError, match=r"optimizer\.lr was 0\.01 and is now 0\.02"):
        run(toy, config(optimizer__lr=0.02), recorder(tmp_path))


def test_other_data_end_a_resume(toy, config, recorder, tmp_path):
    """The fingerprint of the data is compared, not only the configuration."""
    run(toy, config(identity__exclude=["identity", "data"]), recorder(tmp_path))

    with pytest.raises(UserError, match="data are now eeeeeeeeeeee"):
        run(toy, config(identity__exclude=["identity", "data"], data__fingerprint="e" * 64), recorder(tmp_path))


def test_a_trial_that_diverges_at_once_says_so(toy, config):
    """A monstrous learning rate ends as an outcome with what to change, and without a number that is none."""
    result = run(toy, config(optimizer__lr=1e30))

    assert result.outcome is Outcome.DIVERGED
    assert result.note == "loss became non-finite at epoch 1; lower optimizer.lr"
    assert (result.metrics, result.curves, result.epochs) == ({}, {}, 0)


def test_a_trial_that_diverges_later_keeps_its_finite_curve(toy, config, recorder, tmp_path):
    """The epochs before stay on the curve and nothing of the broken one; its neighbours in time are unharmed."""
    overshooting = {**SGD, "momentum": 0.0, "nesterov": False, "lr": 0.01, "l2": 1e3}
    healthy = run(toy, config())
    result = run(toy, config(optimizer=overshooting, epochs=20), recorder(tmp_path))

    assert result.outcome is Outcome.DIVERGED
    assert 0 < result.epochs < 20
    assert result.note == f"loss became non-finite at epoch {result.epochs + 1}; lower optimizer.lr"
    assert {len(curve) for curve in result.curves.values()} == {result.epochs}
    assert all(math.isfinite(value) for curve in result.curves.values() for value in curve)
    assert result.metrics == {}
    assert run(toy, config()) == healthy


def test_training_sees_whole_batches_only(toy, config, recorder, tmp_path):
    """46 items in batches of 8 are five steps an epoch, counted by the optimizer itself."""
    run(toy, config(epochs=1), recorder(tmp_path))
    steps = {entry["step"].item() for entry in newest(tmp_path)["optimizer"]["state"].values()}

    assert steps == {5.0}


def test_a_batch_larger_than_the_data_is_all_of_it(toy, config, recorder, tmp_path):
    """Few items make one step, not none."""
    run(toy, config(epochs=1, batch_size=1000), recorder(tmp_path))

    assert {entry["step"].item() for entry in newest(tmp_path)["optimizer"]["state"].values()} == {1.0}


def test_validation_is_by_the_final_weights_without_dropout_or_augmentation(toy, config, recorder, tmp_path):
    """What the last checkpoint scores on the plain validation items is what the result says, to the last bit."""
    cfg = config()
    result = run(toy, cfg, recorder(tmp_path))
    model, val = toy.model(cfg), toy.data(cfg, CPU).val
    model.load_state_dict(newest(tmp_path)["model"])
    model.eval()
    with torch.no_grad():
        tally = toy.tally(torch.cat([model(val.x[:8]), model(val.x[8:])]), val.y, cfg)

    assert tally.metrics() == {name: result.metrics[f"val/{name}"] for name in tally.metrics()}


@pytest.fixture
def watching(toy):
    """Return the toy with a note of every training batch: which items, and the key of augmentation."""

    class Watching(type(toy)):
        def __init__(self):
            self.seen = []

        def data(self, cfg, device):
            self.train = super().data(cfg, device).train
            return super().data(cfg, device)

        def inputs(self, x, cfg, key=None):
            if key is not None:
                items = (self.train.x[None] == x[:, None]).flatten(2).all(2).nonzero()[:, 1]
                self.seen.append((items.tolist(), int(key)))
            return super().inputs(x, cfg, key)

    return Watching()


def test_an_epoch_takes_each_item_at_most_once_in_an_order_of_its_own(watching, config):
    """Five batches of eight different items each epoch, and no two epochs alike."""
    run(watching, config())
    batches = [items for items, *_ in watching.seen]
    epochs = [[item for items in batches[first : first + 5] for item in items] for first in range(0, 20, 5)]

    assert [len(set(epoch)) for epoch in epochs] == [40] * 4
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_each_step_draws_from_streams_of_its_own(watching, config):
    """No two of the twenty steps share their augmentation."""
    run(watching, config())

    assert len({key for _, key in watching.seen}) == 20


def test_checkpoints_are_written_only_where_the_context_says(toy, config, recorder, tmp_path):
    """Without a folder nothing is written; with one, two generations stay."""
    run(toy, config())
    run(toy, config(), recorder(tmp_path / "here"))

    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["epoch-000003.ckpt", "epoch-000004.ckpt"]


def test_a_copied_checkpoint_folder_is_as_good_as_the_first(toy, config, recorder, tmp_path):
    """Nothing in a checkpoint depends on where it lies, for the next attempt takes it over."""
    with pytest.raises(KeyboardInterrupt):
        run(toy, config(), Stopping(tmp_path / "first", 2))
    shutil.copytree(tmp_path / "first", tmp_path / "second")

    assert run(toy, config(), recorder(tmp_path / "second")) == run(toy, config())


@pytest.mark.parametrize(("key", "value"), [("epochs", 0), ("batch_size", 0)])
def test_nothing_to_train_is_refused(toy, config, key, value):
    """No epochs or empty batches are a mistake of the call."""
    with pytest.raises(UserError, match=f"Type {key}=1"):
        run(toy, config(**{key: value}))


@pytest.mark.gpu
def test_a_gpu_trains_and_resumes_the_same_trial(toy, config, recorder, tmp_path):
    """On a GPU a trial has the same metrics by name, says which card it was, and goes on from its checkpoint."""
    cuda = torch.device("cuda")
    result = fit(toy, config(), recorder(tmp_path), cuda)
    (tmp_path / "epoch-000004.ckpt").unlink()

    assert result.device.startswith("cuda (")
    assert result.metrics.keys() == run(toy, config()).metrics.keys()
    assert fit(toy, config(), recorder(tmp_path), cuda).epochs == 4
