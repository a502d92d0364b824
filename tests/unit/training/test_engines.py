"""Every engine trains every trial as the trial alone would be trained, on many architectures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpc_sweep.training.engines.modules import Grouped
from hpc_sweep.training.engines.stacked import Stacked, stack
from hpc_sweep.training.engines.updates import Kernels, Rows, update
from hpc_sweep.training.state import State
from tests.unit.training.architectures import ARCHITECTURES, EXPECTED, Zoo, configuration, grid
from tests.unit.training.runs import distance, trained

RECIPE = {
    "label_smoothing": 0.1,
    "weighting": True,
    "mixup": 0.4,
    "optimizer__clip_norm": 0.3,
    "optimizer__betas": [0.8, 0.99],
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_engines_agree_after_20_steps(architecture):
    """Weights, buffers, optimizer and curves of 8 trials with dropout: within 1e-10 of one by one, float64."""
    configs = grid(architecture, 8)
    reference = trained(configs, "sequential")

    for engine in EXPECTED[architecture]:
        found = trained(configs, engine)
        assert max(map(distance, reference, found)) <= 1e-10, engine


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_trial_alone_is_the_trial_among_eight(architecture):
    """Within 1e-12 in float64 by each engine; by sequential and packed, bit for bit."""
    configs = grid(architecture, 8)
    alone = trained(configs[5:6], "sequential")[0]

    for engine in EXPECTED[architecture]:
        assert distance(trained(configs, engine)[5], alone) <= 1e-12, engine
    for engine in ("sequential", "packed"):
        assert distance(trained(configs, engine)[5], alone) == 0.0, engine


@pytest.mark.parametrize("architecture", ["batchnorm cnn", "layernorm mlp", "attention"])
@pytest.mark.parametrize(("name", "l2_as"), [("adam", "penalty"), ("adamw", "weight_decay"), ("sgd", "penalty")])
def test_every_value_may_differ_from_trial_to_trial(architecture, name, l2_as):
    """Smoothing, class weights, mixup, clipping, betas and SpecAugment of one's own, with each optimizer."""
    plain = grid(architecture, 3, optimizer__name=name, optimizer__l2_as=l2_as)
    configs = [*plain, *grid(architecture, 3, **RECIPE, optimizer__name=name, optimizer__l2_as=l2_as)]
    configs += grid(architecture, 2, augment__time_width=0.6, optimizer__name=name, optimizer__l2_as=l2_as)
    reference = trained(configs, "sequential")

    for engine in EXPECTED[architecture]:
        assert max(map(distance, reference, trained(configs, engine))) <= 1e-10, engine
    assert distance(reference[0], reference[3]) > 1e-3
    assert architecture != "batchnorm cnn" or distance(reference[0], reference[6]) > 1e-3


def test_float32_stays_within_its_own_noise_over_one_step():
    """In float32 one step of plain descent differs by rounding only."""
    task = Zoo(torch.float32)
    how = {"optimizer__name": "sgd", "batch_size": 40}
    configs = grid("batchnorm cnn", 4, **how)
    reference = trained(configs, "sequential", 1, task)

    for engine in ("grouped", "vmap"):
        assert max(map(distance, reference, trained(configs, engine, 1, task))) < 1e-4


@pytest.mark.parametrize(
    ("architecture", "engine"), [("batchnorm mlp", "grouped"), ("layernorm mlp", "grouped"), ("layernorm mlp", "vmap")]
)
def test_bfloat16_trains_in_every_engine(architecture, engine):
    """Autocast runs through all engines and learns about the same."""

    class Low(Zoo):
        def recipe(self, cfg):
            return type(super().recipe(cfg))(bfloat16=True)

    configs = grid(architecture, 3)
    task = Low(torch.float32)
    reference, found = trained(configs, "sequential", 2, task), trained(configs, engine, 2, task)

    for one, other in zip(reference, found, strict=True):
        assert one["curves"]["train/loss"] == pytest.approx(other["curves"]["train/loss"], abs=0.05)


def states_of(architecture, count, **changes):
    """Return fresh states."""
    task = Zoo()
    return [State.fresh(task, cfg, torch.device("cpu")) for cfg in grid(architecture, count, **changes)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer__name": "adamw"},
        {"optimizer__name": "sgd"},
        {"optimizer__name": "sgd", "optimizer__momentum": 0.0, "optimizer__nesterov": False},
    ],
)
def test_the_fast_update_is_the_stock_optimizer_bit_for_bit(changes):
    """Fused kernels on rows leave what each trial's own optimizer leaves: weights, moments and step counts."""
    stacks = [Stacked(states_of("batchnorm mlp", 3, **changes)) for _ in range(2)]
    updates = [Kernels(stacks[0]), Rows(stacks[1])]
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        grads = {
            name: torch.randn(value.shape, generator=generator, dtype=value.dtype)
            for name, value in stacks[0].params.items()
        }
        for step in updates:
            step({name: grad.clone() for name, grad in grads.items()})

    fast, stock = ([state.capture() for state in stacked.states] for stacked in stacks)
    assert max(map(distance, fast, stock)) == 0.0


def test_an_optimizer_without_a_kernel_steps_itself():
    """Any stock optimizer works on the rows; amsgrad or RMSprop have no fast path."""
    states = states_of("batchnorm mlp", 2)
    for state in states:
        state.optimizer = torch.optim.RMSprop(state.model.parameters(), lr=0.01)

    assert isinstance(update(Stacked(states)), Rows)
    assert isinstance(update(Stacked(states_of("batchnorm mlp", 2))), Kernels)


def test_rows_of_a_stack_are_the_models_own():
    """What happens to the stacked tensor is at once in each model, and channels stay last."""
    states = states_of("batchnorm cnn", 3)
    for state in states:
        state.model.to(memory_format=torch.channels_last)
    stacked = Stacked(states)
    name = "0.weight"
    with torch.no_grad():
        stacked.params[name][1].fill_(7.0)

    assert states[1].params[name].unique().tolist() == [7.0]
    assert 7.0 not in states[0].params[name]
    assert states[2].params["5.weight"].is_contiguous(memory_format=torch.channels_last)
    assert stacked.params["5.weight"].flatten(0, 1).data_ptr() == stacked.params["5.weight"].data_ptr()


def test_stacking_keeps_the_strides_of_each_row():
    """A permuted tensor is stacked as it lies."""
    tensors = [torch.randn(2, 3, 4).permute(2, 0, 1) for _ in range(3)]
    together = stack(tensors)

    assert together.shape == (3, 4, 2, 3)
    assert all(together[k].stride() == tensor.stride() for k, tensor in enumerate(tensors))
    assert all(torch.equal(together[k], tensor) for k, tensor in enumerate(tensors))


def test_a_captured_state_holds_nothing_of_the_neighbours():
    """A checkpoint of one of eight trials is as small as that of a trial alone."""
    state = trained(grid("layernorm mlp", 8), "grouped", 1)[3]
    sizes = {name: (value.untyped_storage().nbytes(), value.nbytes) for name, value in state["model"].items()}

    assert all(stored == needed for stored, needed in sizes.values())


def test_a_loss_that_vmap_cannot_follow_is_computed_trial_by_trial():
    """A task's loss may branch on its values; the stack still trains, with the same numbers."""

    class Branchy(Zoo):
        def loss(self, out, y, cfg, data):
            loss = super().loss(out, y, cfg, data)
            return loss if loss.item() > 0.5 else 2 * loss

    configs = grid("layernorm mlp", 3)

    reference = trained(configs, "sequential", 2, Branchy())
    assert max(map(distance, reference, trained(configs, "grouped", 2, Branchy()))) <= 1e-10


def test_a_frozen_parameter_stays_as_it_was():
    """Parameters without a gradient are left alone by every engine."""

    class Frozen(Zoo):
        def model(self, cfg):
            model = super().model(cfg)
            model[1].weight.requires_grad_(False)  # noqa: FBT003 because torch has it so
            return model

    configs = grid("layernorm mlp", 3)
    reference = trained(configs, "sequential", 2, Frozen())

    for engine in ("grouped", "vmap"):
        assert max(map(distance, reference, trained(configs, engine, 2, Frozen()))) <= 1e-10


@pytest.mark.gpu
@pytest.mark.parametrize("architecture", ["batchnorm cnn", "layernorm mlp", "lstm"])
def test_a_packed_graph_is_bit_for_bit_the_sequential_engine(architecture):
    """On a GPU the replayed branches leave what eager steps leave."""
    cuda = torch.device("cuda")
    task, configs = Zoo(torch.float32), grid(architecture, 4)
    left = [trained(configs, engine, task=task, device=cuda) for engine in ("sequential", "packed")]

    assert max(map(distance, *left)) == 0.0


def test_a_model_may_be_one_module():
    """The whole model may be what is grouped, without any child."""

    class Single(Zoo):
        def model(self, cfg):
            del cfg
            return nn.Linear(16, 3).to(self.dtype)

    configs = [configuration("layernorm mlp", optimizer__lr=rate) for rate in (0.1, 0.01)]
    reference = trained(configs, "sequential", 1, Single())

    for engine in ("grouped", "vmap"):
        assert max(map(distance, reference, trained(configs, engine, 1, Single()))) <= 1e-10


def test_parameters_may_have_gradients_in_some_steps_only():
    """A parameter that a step does not use stays where it is, as the stock optimizer leaves it."""
    stacks = [Stacked(states_of("batchnorm mlp", 2)) for _ in range(2)]
    updates = [Kernels(stacks[0]), Rows(stacks[1])]
    names = list(stacks[0].params)
    for used in (names, names[:2], names[:2], names):
        for stacked, step in zip(stacks, updates, strict=True):
            step({name: torch.ones_like(stacked.params[name]) for name in used})

    fast, stock = ([state.capture() for state in stacked.states] for stacked in stacks)
    assert max(map(distance, fast, stock)) == 0.0


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_stay_last_in_a_stack(channels):
    """Also where there is one channel, whose stride could be anything: torch chooses by it how a convolution sums."""
    weights = [torch.randn(8, channels, 3, 3).to(memory_format=torch.channels_last) for _ in range(3)]
    if channels == 1:
        weights = [weight.as_strided(weight.shape, (9, 1, 3, 1)) for weight in weights]
    module = nn.Conv2d(channels, 8, 3)
    wide = Grouped(module, 3, {"weight": stack(weights)}, {}).flat("weight")

    assert wide.stride() == (9 * channels, 1, 3 * channels, channels)
    assert torch.equal(wide, torch.cat(weights))
