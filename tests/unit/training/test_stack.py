"""A stack from its first step to the last ending: members leave, others come, and none disturbs another."""

from __future__ import annotations

import gc
import itertools
import math
import weakref

import pytest
import torch
from torch import nn

from hpc_sweep.errors import SweepError, UserError
from hpc_sweep.training.choice import Choice
from hpc_sweep.training.listener import Listener
from hpc_sweep.training.loop import Stacking, fit, fit_all
from hpc_sweep.training.member import Member
from hpc_sweep.trial import Outcome, Quiet, StoppedError
from tests.unit.training.architectures import Zoo, configuration, grid
from tests.unit.training.limited import Limited
from tests.unit.training.runs import CPU, Told, shard

ENGINES = ("sequential", "packed", "grouped", "vmap")
EXACT = ("sequential", "packed")
MONSTROUS = 1e200


def furthest(result, expected):
    """Return the largest difference of two results' curves, which must have the same shape."""
    assert result.outcome is expected.outcome
    assert result.curves.keys() == expected.curves.keys()
    pairs = [pair for name in expected.curves for pair in zip(result.curves[name], expected.curves[name], strict=True)]
    return max(abs(one - other) for one, other in pairs)


def close(found, expected, engine):
    """Compare results as closely as the engine promises: bit for bit, or within 1e-10 in float64."""
    assert furthest(found, expected) <= (0.0 if engine in EXACT else 1e-10)
    assert found.metrics.keys() == expected.metrics.keys()
    assert found.extras["val/correct"] == expected.extras["val/correct"]


def timeless(result):
    """Return a result without the seconds of its slowest epoch."""
    result.extras["stack"].pop("epoch_seconds")
    return result


def alone(cfg, task=None):
    """Return the result of the trial by itself."""
    return fit(task or Zoo(), cfg, Quiet(), CPU)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stack_gives_each_trial_the_result_that_it_has_alone(engine):
    """Metrics, curves, details and reports of eight trials by each engine."""
    configs = grid("batchnorm mlp", 8)
    left = shard(configs, 8, engine=engine)

    for index, cfg in enumerate(configs):
        close(left.result(index), alone(cfg), engine)
        assert [epoch for epoch, _ in left.reports[index]] == [1, 2, 3, 4]
        assert left.result(index).extras["stack"]["engine"] == engine
        assert left.result(index).extras["stack"]["size"] == 8
        told = left.result(index).extras["stack"]["epoch_seconds"]
        assert left.endings[index].seconds / 4 * 8 <= told + 0.001  # the slowest epoch of all eight, and not a share


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("architecture", ["batchnorm cnn", "layernorm mlp"])
def test_neighbours_of_a_diverged_trial_are_untouched(engine, architecture):
    """One of five trials blows up in its first epoch; the others end as they do without it."""
    configs = grid(architecture, 5)
    configs[2] = configuration(architecture, optimizer__name="adam", optimizer__lr=MONSTROUS)
    left = shard(configs, 5, engine=engine)

    assert left.result(2).outcome is Outcome.DIVERGED
    assert left.result(2).curves == {}
    assert "lower optimizer.lr" in left.result(2).note
    for index in (0, 1, 3, 4):
        close(left.result(index), alone(configs[index]), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_members_that_end_early_are_masked_and_then_compacted_away(engine):
    """Trials of 2, 3 and 6 epochs in one stack: each ends at its own, and the last is alone in the end."""
    lengths = (6, 2, 3, 2, 2, 6)
    rates = [0.01 / (k + 1) for k in range(6)]
    configs = [configuration("batchnorm mlp", epochs=n, seed=k, optimizer__lr=rates[k]) for k, n in enumerate(lengths)]
    left = shard(configs, 6, engine=engine)

    assert [left.result(index).epochs for index in range(6)] == list(lengths)
    for index, cfg in enumerate(configs):
        close(left.result(index), alone(cfg), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_place_that_becomes_free_is_taken_by_the_next_trial(engine):
    """Seven trials, at most three at once, each in an epoch of its own."""
    lengths = (2, 4, 3, 1, 5, 2, 3)
    configs = [configuration("layernorm mlp", epochs=n, dropout=0.1 * k, seed=k % 2) for k, n in enumerate(lengths)]
    left = shard(configs, 3, engine=engine)

    assert [left.result(index).epochs for index in range(7)] == list(lengths)
    for index, cfg in enumerate(configs):
        close(left.result(index), alone(cfg), engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stack_goes_on_where_a_killed_one_stopped(engine, tmp_path):
    """After an interruption in the third epoch every member continues from its checkpoint, as if nothing had been."""
    configs = grid("batchnorm cnn", 4)
    whole = shard(configs, 4, engine=engine, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        shard(configs, 4, engine=engine, folder=tmp_path / "cut", stop_after=2)
    left = shard(configs, 4, engine=engine, folder=tmp_path / "cut")

    for index in range(4):
        assert left.reports[index][0][0] == 3
        close(left.result(index), whole.result(index), engine)


def test_a_checkpoint_of_a_stack_is_one_of_a_trial_alone(tmp_path):
    """A trial may leave its stack at any epoch and go on by itself."""
    configs = grid("batchnorm cnn", 4)
    with pytest.raises(KeyboardInterrupt):
        shard(configs, 4, engine="grouped", folder=tmp_path, stop_after=2)
    by_itself = fit(Zoo(), configs[2], _Folder(tmp_path / "2"), CPU)

    assert by_itself.epochs == 4
    close(by_itself, alone(configs[2]), "grouped")


class _Folder:
    """A context with a folder for checkpoints."""

    threads = 1
    stop_requested = False

    def __init__(self, checkpoint_dir):
        self.checkpoint_dir = checkpoint_dir

    def report(self, epoch, metrics):
        """Hear nothing."""

    def keep(self, epoch, save):
        """Want a checkpoint of every epoch."""
        del epoch
        save()


def test_a_stack_that_does_not_fit_is_halved_until_it_does():
    """Eight trials where memory has room for three: four, then two at once; results as ever, choices published."""
    configs = grid("layernorm mlp", 8)
    left = shard(configs, 8, engine="grouped", task=Limited(3))

    assert [(choice["engine"], choice["size"]) for choice in left.choices] == [("grouped", 4), ("grouped", 2)]
    assert "8 at once failed: OutOfMemoryError" in left.choices[0]["why"]
    for index, cfg in enumerate(configs):
        close(left.result(index), alone(cfg, Limited(3)), "grouped")
        assert left.result(index).extras["stack"]["size"] == 2


def test_a_trial_that_does_not_fit_alone_has_failed_with_what_to_type():
    """Nothing can be halved any more; the sentence names the trial and the batch size."""
    left = shard(grid("layernorm mlp", 2), 2, engine="grouped", task=Limited(0))
    error = left.endings[1].error

    assert left.endings[1].result is None
    assert "One trial alone does not fit into memory" in str(error)
    assert "batch_size=4" in str(error)


class Huge(Zoo):
    """Data that no memory has room for."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def data(self, cfg, device):
        """Run out of memory."""
        del cfg, device
        raise self.error


@pytest.mark.parametrize("trials", [1, 3])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError("Unable to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 2 bytes."),
    ],
)
def test_data_that_do_not_fit_are_a_sentence_with_what_to_change(error, trials):
    """Each trial of the group is named, and what to ask for is smaller data or more memory; also of a trial alone."""
    configs = grid("layernorm mlp", trials)
    left = shard(configs, task=Huge(error))

    assert len(left.endings) == trials
    for index, cfg in enumerate(configs):
        told = left.endings[index].error
        assert isinstance(told, SweepError)
        assert told.__cause__ is error
        assert "The data do not fit into memory" in told.what
        assert Member.of(Zoo(), cfg, Quiet()).digest[:12] in told.where
        assert "smaller data" in told.next_step
        assert "hydra.launcher.mem_gb" in told.next_step
    with pytest.raises(SweepError, match="The data do not fit into memory"):
        fit(Huge(error), configs[0], Quiet(), CPU)


class Crowded(Zoo):
    """Memory for so many models at once, counted as they live; or a GPU that fails with the next."""

    def __init__(self, most, error=None):
        super().__init__()
        self.most, self.living = most, weakref.WeakSet()
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def model(self, cfg):
        """Make one more where there is room."""
        gc.collect()
        if len(self.living) >= self.most:
            raise self.error
        made = super().model(cfg)
        self.living.add(made)
        return made


def test_a_member_for_which_memory_has_no_room_waits_for_a_smaller_stack():
    """Four trials where three models fit: two at once, published before a step; nobody is charged."""
    configs = grid("layernorm mlp", 4)
    left = shard(configs, 4, engine="grouped", task=Crowded(3))

    assert [(choice["engine"], choice["size"]) for choice in left.choices] == [("grouped", 2)]
    assert "4 at once failed: OutOfMemoryError" in left.choices[0]["why"]
    for index, cfg in enumerate(configs):
        close(left.result(index), alone(cfg), "grouped")


def test_a_member_that_enters_a_running_stack_where_memory_ends_waits_too():
    """The third trial takes a free place, where there is room for one: the second goes on alone, and then the third."""
    lengths = (1, 4, 2)
    configs = [configuration("layernorm mlp", epochs=n, seed=n) for n in lengths]
    task = Crowded(2)

    class Shrinking(Told):
        def report(self, epoch, metrics):
            super().report(epoch, metrics)
            task.most = 1

    endings, records, reports = {}, [], [[], [], []]
    digests = tuple(Member.of(task, cfg, Quiet()).digest for cfg in configs)
    trials = [(cfg, Shrinking(told)) for cfg, told in zip(configs, reports, strict=True)]
    begun = []
    listener = Listener(
        lambda ending: endings.update({ending.index: ending}), begun=begun.append, chosen=records.append
    )
    fit_all(task, trials, CPU, listener, Stacking(earlier=[Choice("grouped", 2, digests).record()]))

    assert [record["size"] for record in records] == [1]
    assert [ending.error for ending in endings.values()] == [None] * 3
    assert [len(told) for told in reports] == list(lengths)
    assert begun == [0, 1, 2]


def test_a_trial_that_cannot_even_begin_alone_has_failed_with_what_to_type():
    """No smaller stack would help."""
    left = shard(grid("layernorm mlp", 2), 2, engine="grouped", task=Crowded(0))

    assert left.choices == []
    assert all("One trial alone does not fit into memory" in str(left.endings[k].error) for k in range(2))


def test_a_gpu_that_breaks_while_a_member_enters_ends_the_process_and_no_trial():
    """The one that entered is no more to blame than those that were there."""
    task = Crowded(1, RuntimeError("CUDA error: an illegal memory access was encountered"))
    configs, endings = grid("layernorm mlp", 2), []
    digests = tuple(Member.of(task, cfg, Quiet()).digest for cfg in configs)
    stacking = Stacking(earlier=[Choice("grouped", 2, digests).record()])

    with pytest.raises(RuntimeError, match="illegal memory access"):
        fit_all(task, [(cfg, Quiet()) for cfg in configs], CPU, Listener(endings.append), stacking)
    assert endings == []


class Late(Zoo):
    """Runs out of memory once, in the third epoch."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def inputs(self, x, cfg, key=None):
        """Count the batches of training; five make an epoch."""
        if key is not None:
            self.passes += 1
            if self.passes == 13:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().inputs(x, cfg, key)


@pytest.mark.parametrize("kept", ["in memory", "on disk"])
def test_after_running_out_of_memory_a_stack_goes_on_from_the_last_epoch(kept, tmp_path):
    """Nothing that was finished is trained again, with a folder for checkpoints or without."""
    configs = grid("layernorm mlp", 4, seed=1)
    left = shard(configs, 4, engine="grouped", task=Late(), folder=tmp_path if kept == "on disk" else None)

    for index, cfg in enumerate(configs):
        assert [epoch for epoch, _ in left.reports[index]] == [1, 2, 3, 4]
        close(left.result(index), alone(cfg), "grouped")


class Faulty(Zoo):
    """A model whose code fails for one of the trials only, which a stack cannot tell."""

    def loss(self, out, y, cfg, data):
        """Fail where labels are smoothed."""
        if cfg.label_smoothing:
            raise ValueError("no smoothing here")
        return super().loss(out, y, cfg, data)


def test_one_failing_trial_ends_only_itself():
    """What one trial raises in the middle of a stack is that trial's; the others are trained apart from it."""
    configs = [*grid("layernorm mlp", 2), configuration("layernorm mlp", label_smoothing=0.1)]
    left = shard(configs, 3, engine="grouped", task=Faulty())

    assert isinstance(left.endings[2].error, ValueError)
    for index in (0, 1):
        assert furthest(left.result(index), alone(configs[index], Faulty())) == 0.0


def test_a_wrong_value_of_one_trial_ends_only_itself():
    """A mistake in a configuration is told as a sentence, and the rest of the shard trains."""
    configs = [
        configuration("layernorm mlp"),
        configuration("layernorm mlp", optimizer__lr=-1.0),
        configuration("layernorm mlp", batch_size=0),
        configuration("layernorm mlp", seed=2),
    ]
    left = shard(configs)

    assert "optimizer.lr" in str(left.endings[1].error)
    assert "batch_size=0 trains nothing" in str(left.endings[2].error)
    assert {left.result(index).outcome for index in (0, 3)} == {Outcome.COMPLETED}


@pytest.mark.parametrize("engine", ["sequential", "grouped", "vmap"])
def test_patience_ends_a_trial_at_its_best_epoch_plus_patience(engine):
    """A learning rate that only does harm ends early, with a note; neighbours without patience go on."""
    harmful = {"optimizer__lr": 3.0, "optimizer__name": "sgd", "optimizer__l2": 0.0}
    configs = [configuration("layernorm mlp", **harmful, patience=p, epochs=12) for p in (1, 3, None)]
    left = shard(configs, 3, engine=engine)

    for index, patience in enumerate((1, 3)):
        result = left.result(index)
        curve = result.curves["val/cross_entropy"]
        assert len(curve) - 1 - curve.index(min(curve)) == patience or len(curve) == 12
        assert result.outcome is Outcome.COMPLETED
        assert result.metrics
    assert left.result(0).epochs < 12
    assert left.result(0).note == f"stopped after {left.result(0).epochs} epochs: no better val/cross_entropy for 1"
    assert left.result(2).epochs == 12


class Broken(Zoo):
    """A model that returns NaN at once."""

    def model(self, cfg):
        """Divide nothing by nothing."""
        model = super().model(cfg)
        model[-1].bias.data.fill_(math.nan)
        return model


def test_a_model_that_returns_nan_at_once_says_so():
    """It has diverged before any step, and that is another remedy than a lower learning rate."""
    result = shard(grid("layernorm mlp", 2), 2, engine="grouped", task=Broken()).result(0)

    assert result.outcome is Outcome.DIVERGED
    assert result.note.startswith("the loss is not finite before the first step")


class Unreduced(Zoo):
    """A task whose loss is no scalar."""

    def loss(self, out, y, cfg, data):
        """Forget the mean."""
        del cfg, data
        return nn.functional.cross_entropy(out, y, reduction="none")


@pytest.mark.parametrize("size", [1, "auto"])
def test_a_loss_that_is_no_scalar_is_refused_in_a_sentence(size):
    """The shape is named, the trial, and what to change."""
    left = shard(grid("layernorm mlp", 3), size, task=Unreduced())

    for index in range(3):
        assert "has the shape (8,), and training needs one number" in str(left.endings[index].error)
        assert "Trial " in str(left.endings[index].error)
        assert ".mean()" in str(left.endings[index].error)


class Odd(Zoo):
    """A loss that cannot be followed to the weights."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def loss(self, out, y, cfg, data):
        """Make something else of the right loss."""
        return self.make(super().loss(out, y, cfg, data))


@pytest.mark.parametrize("size", [1, "auto", 3])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda loss: None, "is None and no tensor"),  # noqa: ARG005 because it is what a forgotten return does
        (lambda loss: 0.5, "is 0.5 and no tensor"),  # noqa: ARG005 because it is a loss of no tensor
        (torch.Tensor.detach, "does not depend on the weights"),
    ],
    ids=["None", "float", "detached"],
)
def test_a_loss_that_cannot_be_followed_is_refused_in_a_sentence(make, told, size):
    """What it is, the trial, and what to change; alone as in a stack."""
    left = shard(grid("layernorm mlp", 3), size, task=Odd(make))

    for index in range(3):
        error = left.endings[index].error
        assert isinstance(error, UserError)
        assert f"The loss of a batch {told}, and training needs one number." in str(error)
        assert "Trial " in str(error)
        assert ".detach()" in str(error)


@pytest.mark.parametrize("engine", ["grouped", "vmap"])
def test_a_detached_loss_of_a_stack_is_each_trials_own_mistake(engine):
    """Where the losses of a stack are computed at once, too."""
    left = shard(grid("layernorm mlp", 3), 3, engine=engine, task=Odd(torch.Tensor.detach))

    assert ["does not depend" in str(left.endings[index].error) for index in range(3)] == [True] * 3


def test_a_checkpoint_that_cannot_be_written_ends_that_trial_only(tmp_path):
    """A file where the folder of one trial's checkpoints belongs is told as that trial's error."""
    configs = grid("layernorm mlp", 3)
    (tmp_path / "1").write_text("in the way")
    left = shard(configs, 3, engine="grouped", folder=tmp_path)

    assert "A checkpoint could not be written" in str(left.endings[1].error)
    for index in (0, 2):
        close(left.result(index), alone(configs[index]), "grouped")


def test_a_trial_that_is_finished_needs_no_checkpoint_any_more(tmp_path):
    """Its folder cannot be written to, and it has a result all the same, as its neighbours have."""
    configs = [configuration("layernorm mlp", epochs=n, seed=n) for n in (1, 1, 3)]
    (tmp_path / "1").write_text("in the way")
    left = shard(configs, 3, engine="grouped", folder=tmp_path)

    assert [left.result(index).epochs for index in range(3)] == [1, 1, 3]


class Unsavable(Told):
    """A context whose checkpoints meet an error, where it has one; those that are kept are noted."""

    def __init__(self, folder, error):
        super().__init__([], folder)
        self.error, self.kept = error, []

    def keep(self, epoch, save):
        """Fail, or note that a checkpoint was kept."""
        if self.error is not None:
            raise self.error
        save()
        self.kept.append(epoch)


class EndedError(Exception):
    """Raised by a listener that wants no more of this process."""


@pytest.mark.parametrize(
    ("error", "raised", "ended", "kept"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), EndedError, [0], [1]),
        (RuntimeError("CUDA error: device-side assert triggered"), RuntimeError, [], []),
    ],
    ids=["memory", "broken"],
)
def test_an_error_of_the_gpu_at_a_checkpoint_takes_no_neighbour_along(error, raised, ended, kept, tmp_path):
    """Memory is one trial's own, told when the others are safe; that the GPU is broken may be anybody's."""
    configs, endings = grid("layernorm mlp", 2), []
    digests = tuple(Member.of(Zoo(), cfg, Quiet()).digest for cfg in configs)
    contexts = [Unsavable(tmp_path / "0", error), Unsavable(tmp_path / "1", None)]

    def end(ending):
        endings.append(ending.index)
        raise EndedError

    stacking = Stacking(earlier=[Choice("grouped", 2, digests).record()])
    with pytest.raises(raised):
        fit_all(Zoo(), list(zip(configs, contexts, strict=True)), CPU, Listener(end), stacking)

    assert (endings, contexts[1].kept) == (ended, kept)


class Dataless(Zoo):
    """A task without data."""

    def data(self, cfg, device):
        """Find nothing."""
        del cfg, device
        raise UserError("The folder of the data is not given.", next_step="data.root=<folder>")


def test_without_data_every_trial_of_the_group_fails_with_the_reason():
    """The reason belongs to each trial."""
    left = shard(grid("layernorm mlp", 2), task=Dataless())

    assert all("data.root" in str(left.endings[index].error) for index in range(2))


def test_the_choice_is_published_before_the_first_step_and_once(tmp_path):
    """One record for the group, before any report; it names engine, size, members, ratio and why."""
    del tmp_path
    configs = grid("batchnorm mlp", 6)
    left = shard(configs)
    (record,) = left.choices

    assert record["engine"] in ("grouped", "vmap")
    assert record["size"] == 6
    assert record["members"] == [Member.of(Zoo(), cfg, Quiet()).digest for cfg in configs]
    assert record["ratio"] > 1.05
    assert "fastest" in record["why"]
    told = left.result(0).extras["stack"]
    assert told.pop("epoch_seconds") > 0
    assert told == {key: record[key] for key in ("engine", "size", "ratio", "why")}


def test_an_earlier_choice_is_kept_to():
    """A later attempt neither probes nor publishes anew, whatever it would choose; finished members are missing."""
    configs = grid("batchnorm mlp", 6)
    first = shard(configs)
    forced = [{**first.choices[0], "engine": "vmap", "size": 3}]
    left = shard(configs[2:], earlier=forced)

    assert left.choices == []
    used = [(how["engine"], how["size"]) for how in (left.result(index).extras["stack"] for index in range(4))]
    assert used == [("vmap", 3)] * 3 + [("sequential", 1)]
    for index in range(4):
        close(left.result(index), first.result(index + 2), "vmap")


def test_a_result_says_by_what_it_was_trained_and_not_what_was_chosen():
    """Under a choice of four by grouped, a trial that is alone here was trained by sequential, without a ratio."""
    configs = grid("batchnorm mlp", 4)
    digests = tuple(Member.of(Zoo(), cfg, Quiet()).digest for cfg in configs)
    chosen = Choice("grouped", 4, digests, 3.5, "the fastest").record()
    together, apart = shard(configs, earlier=[chosen]), shard(configs[:1], earlier=[chosen])

    assert together.result(0).extras["stack"].items() >= {"engine": "grouped", "size": 4, "ratio": 3.5}.items()
    told = apart.result(0).extras["stack"]
    assert told.items() >= {"engine": "sequential", "size": 1, "ratio": None}.items()
    assert "grouped" in told["why"]
    assert "the fastest" in told["why"]


def test_a_trial_that_stays_when_its_stack_has_ended_was_trained_in_that_stack():
    """The largest company counts; a member that came when the others had gone was alone."""
    configs = [configuration("batchnorm mlp", epochs=epochs, seed=epochs) for epochs in (1, 4)]
    digests = tuple(Member.of(Zoo(), cfg, Quiet()).digest for cfg in configs)
    left = shard(configs, earlier=[Choice("grouped", 2, digests).record()])

    assert [left.result(index).extras["stack"]["size"] for index in range(2)] == [2, 2]


def test_the_ids_of_the_plan_name_trials_in_choices_and_checkpoints(tmp_path):
    """A value that each job resolves anew changes what is derived, and neither what binds nor what is gone on from."""
    ids = ("planned-a", "planned-b")
    published, reports = [], []

    def attempt(host, earlier, **more):
        configs = [configuration("batchnorm mlp", seed=seed, host=host) for seed in (1, 2)]
        reports.append([])
        trials = [(cfg, Told(reports[-1], tmp_path / str(k), **more)) for k, cfg in enumerate(configs)]
        listener = Listener(lambda ending: ended.append(ending.error), chosen=published.append)
        fit_all(Zoo(), trials, CPU, listener, Stacking(2, earlier, ids))

    ended = []
    with pytest.raises(KeyboardInterrupt):
        attempt("one", (), stop_after=2)
    assert [record["members"] for record in published] == [list(ids)]

    attempt("another", published[:])
    assert ended == [None, None]
    assert len(published) == 1
    assert [epoch for epoch, _ in reports[1]] == [3, 3, 4, 4]


def test_a_size_of_one_trains_each_trial_alone():
    """No probe, no choice, and the very bits of a trial by itself."""
    configs = grid("batchnorm cnn", 3)
    left = shard(configs, 1)

    assert left.choices == []
    for index, cfg in enumerate(configs):
        assert timeless(left.result(index)) == timeless(alone(cfg))
        assert left.result(index).extras["stack"]["engine"] == "sequential"


def test_a_size_that_is_typed_bounds_the_stack():
    """Up to so many at once, by the fastest engine that fuses."""
    left = shard(grid("batchnorm mlp", 5), 2)

    assert left.choices[0]["size"] == 2
    assert left.choices[0]["engine"] in ("grouped", "vmap")
    assert len(left.endings) == 5


@pytest.mark.parametrize("size", [0, "many", -1, 2.5])
def test_a_size_that_cannot_be_meant_is_refused(size):
    """The sentence shows what to type."""
    with pytest.raises(UserError, match="stack_size=auto"):
        Stacking(size)


@pytest.mark.parametrize("architecture", ["lstm", "branch on data", "re-assigned buffer", "drawing"])
def test_a_model_that_cannot_be_fused_is_trained_right_by_the_engine_that_can(architecture):
    """Asked for a stack, it still trains one by one, the very bits, with one line saying why."""
    configs = grid(architecture, 3)
    left = shard(configs, 3)

    for index, cfg in enumerate(configs):
        assert furthest(left.result(index), alone(cfg)) == 0.0
        how = left.result(index).extras["stack"]
        assert how["engine"] == "sequential"
        assert "\n" not in how["why"]
        assert len(how["why"]) > 20


def test_groups_that_cannot_stack_are_trained_one_after_the_other():
    """Two architectures in one shard: two choices, all trials end."""
    configs = [cfg for pair in zip(grid("batchnorm mlp", 3), grid("layernorm mlp", 3), strict=True) for cfg in pair]
    left = shard(configs)

    assert len(left.choices) == 2
    for index, cfg in enumerate(configs):
        close(left.result(index), alone(cfg), "grouped")


def test_a_rate_in_the_code_of_a_model_is_each_trials_own():
    """Silent error: vmap and grouped would run all trials with the rate of the first; here they are kept apart."""
    configs = [configuration("drawing", dropout=rate) for rate in (0.0, 0.9)]
    left = shard(configs, 2)

    for index, cfg in enumerate(configs):
        assert furthest(left.result(index), alone(cfg)) == 0.0
    assert furthest(left.result(0), left.result(1)) > 0.01


@pytest.mark.parametrize("architecture", ["batchnorm mlp", "layernorm mlp"])
def test_a_fused_stack_of_18_ranks_in_float32_as_one_by_one(architecture):
    """The grid of task11 on a head: by cross-entropy, the 18 places are the same for K = 1 and K = 18."""
    configs = [
        configuration(architecture, dropout=dropout, optimizer__lr=rate, optimizer__l2=l2)
        for dropout, rate, l2 in itertools.product((0.3, 0.4, 0.5), (0.01, 0.005, 0.001), (0.1, 0.01))
    ]
    task = Zoo(torch.float32)
    one_by_one, together = shard(configs, 1, task=task), shard(configs, 18, engine="grouped", task=task)

    def ranked(left):
        return sorted(range(18), key=lambda index: left.result(index).metrics["val/cross_entropy"])

    assert ranked(together) == ranked(one_by_one)


class Asked(Told):
    """The context of a trial that is asked to stop after an epoch, by a flag that its neighbours see too."""

    def __init__(self, folder, flag, after=None):
        super().__init__([], folder)
        self.flag, self.after, self.kept = flag, after, []

    @property
    def stop_requested(self):
        """Whether anybody was asked to."""
        return bool(self.flag)

    def report(self, epoch, metrics):
        """Raise the flag after the epoch that was given."""
        super().report(epoch, metrics)
        if epoch == self.after:
            self.flag.append(epoch)

    def keep(self, epoch, save):
        """Save at once when it is to stop, and only then."""
        if self.stop_requested:
            save()
            self.kept.append(epoch)
            raise StoppedError


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("engine", ["sequential", "grouped"])
def test_a_stack_that_is_to_stop_keeps_all_its_members_at_one_epoch(engine, which, tmp_path):
    """Whoever is asked first: nobody trains on, those that wait do not begin, and each has its checkpoint."""
    configs, flag = grid("layernorm mlp", 5), []
    contexts = [Asked(tmp_path / str(k), flag, 2 if k == which else None) for k in range(5)]
    digests = [Member.of(Zoo(), cfg, Quiet()).digest for cfg in configs]
    heard = []
    listener = Listener(heard.append, heard.append, heard.append, heard.append)
    stacking = Stacking(earlier=[Choice(engine, 3, tuple(digests)).record()])

    with pytest.raises(StoppedError):
        fit_all(Zoo(), list(zip(configs, contexts, strict=True)), CPU, listener, stacking)

    assert [context.kept for context in contexts] == [[2]] * 3 + [[]] * 2
    assert heard == [0, 1, 2, [0, 1, 2]]


def test_nothing_begins_when_all_are_to_stop(tmp_path):
    """Not even a comparison of engines."""
    contexts = [Asked(tmp_path / str(k), [True]) for k in range(3)]
    heard = []

    with pytest.raises(StoppedError):
        fit_all(
            Zoo(),
            list(zip(grid("layernorm mlp", 3), contexts, strict=True)),
            CPU,
            Listener(heard.append, heard.append, heard.append, heard.append),
            Stacking(),
        )

    assert heard == []


def test_who_trains_together_is_told_before_it_happens():
    """First the trials whose engines are compared, then the choice, then each that begins, then those of the stack."""
    heard = []
    listener = Listener(
        lambda ending: heard.append(("ended", ending.index)),
        lambda index: heard.append(("begun", index)),
        lambda indices: heard.append(("together", *indices)),
        lambda record: heard.append(("chosen", record["size"])),
    )
    trials = [(cfg, Quiet()) for cfg in grid("batchnorm mlp", 3)]

    fit_all(Zoo(), trials, CPU, listener, Stacking(3))

    assert heard[:6] == [("together", 0, 1, 2), ("chosen", 3), ("begun", 0), ("begun", 1), ("begun", 2), heard[0]]
    assert sorted(heard[6:]) == [("ended", 0), ("ended", 1), ("ended", 2)]


class Sick(Zoo):
    """A task whose GPU is gone."""

    def loss(self, out, y, cfg, data):
        """Fail as torch does then."""
        del out, y, cfg, data
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_broken_gpu_ends_the_process_and_no_trial():
    """Nobody is to blame, and nothing else can be trained here; a trial alone with it has failed."""
    configs, endings = grid("layernorm mlp", 2), []
    digests = tuple(Member.of(Zoo(), cfg, Quiet()).digest for cfg in configs)
    trials = [(cfg, Quiet()) for cfg in configs]
    stacking = Stacking(earlier=[Choice("grouped", 2, digests).record()])

    with pytest.raises(RuntimeError, match="illegal memory access"):
        fit_all(Sick(), trials, CPU, Listener(endings.append), stacking)
    assert endings == []

    fit_all(Sick(), trials, CPU, Listener(endings.append), Stacking(1))
    assert [type(ending.error) for ending in endings] == [RuntimeError] * 2
