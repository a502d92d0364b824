"""Which engines a model may have, and that each silent error of fusing is seen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpc_sweep.training import probe as probes
from hpc_sweep.training.member import Member
from hpc_sweep.training.probe import probe
from hpc_sweep.trial import Quiet
from tests.unit.training.architectures import ARCHITECTURES, EXPECTED, Zoo, grid

CPU = torch.device("cpu")


def verdict(architecture, task=None, **changes):
    """Return the verdict on an architecture."""
    task, configs = task or Zoo(), grid(architecture, 2, **changes)
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    return probe(task, members, task.data(configs[0], CPU), CPU)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_architecture_gets_the_engines_that_are_right_for_it(architecture):
    """Sequential always; of the others those that agree in float64, and a reason for each that does not."""
    found = verdict(architecture)

    assert set(found.right) == {"sequential", *EXPECTED[architecture]}
    assert set(found.wrong) == {"grouped", "vmap"} - EXPECTED[architecture]
    assert all(found.wrong.values())


@pytest.mark.parametrize(
    ("architecture", "engine", "reason"),
    [
        ("lstm", "grouped", "LSTM 'lstm' has no grouped rule"),
        ("lstm", "vmap", "Batching rule not implemented"),
        ("branch on data", "vmap", "data-dependent"),
        ("re-assigned buffer", "vmap", "differs: "),
        ("concatenating", "grouped", "differs: loss"),
        ("drawing", "vmap", "torch's global generator"),
    ],
)
def test_the_reason_is_a_line_that_a_person_understands(architecture, engine, reason):
    """What was in the way is named in one line."""
    assert reason in verdict(architecture).wrong[engine]
    assert "\n" not in verdict(architecture).wrong[engine]


def test_float32_models_are_probed_in_float64():
    """The probe's precision does not depend on the task's."""
    assert verdict("batchnorm cnn", Zoo(torch.float32)).right == ("sequential", "vmap", "grouped")


class Impure(nn.Module):
    """A branch that the toy batch of the probe does not show: both trials take the same way."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(16, 12), nn.Linear(12, 3)

    def forward(self, x):
        """Take a way that nearly all inputs take."""
        z = self.first(x)
        return self.head(z.relu() if z.abs().sum() > 0 else z.tanh())


class Custom(Zoo):
    """The zoo with a model of one's own."""

    def __init__(self, model):
        super().__init__()
        self._model = model

    def model(self, cfg):
        """Build it."""
        return self._model(cfg).to(self.dtype)


def test_grouped_is_not_taken_where_vmap_sees_impure_code():
    """The grouped engine alone would pass: its numbers agree on this batch."""
    found = verdict("layernorm mlp", Custom(lambda _: Impure()))

    assert found.right == ("sequential",)
    assert "vmap" in found.wrong["grouped"]


class Neighbourly(nn.Module):
    """Counts its batches, as BatchNorm does, in a buffer that it also reads."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.first = nn.Linear(16, 3)

    def forward(self, x):
        """Scale by how often it was called."""
        if self.training:
            self.seen += 1
        return self.first(x) / (1 + self.seen)


def test_buffers_changed_in_place_are_right_under_vmap():
    """An in-place buffer is kept per trial; only a re-assigned one is lost."""
    assert "vmap" in verdict("layernorm mlp", Custom(lambda _: Neighbourly())).right


def test_a_parameter_of_the_model_itself_needs_vmap():
    """A bare parameter has no grouped rule, and the reason names its module."""
    found = verdict("attention")

    assert found.right == ("sequential", "vmap")
    assert "Attention" in found.wrong["grouped"]


def test_the_probe_trains_copies():
    """No weight of the two trials is changed by trying an engine on them."""
    task, configs = Zoo(), grid("batchnorm cnn", 2)
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    pair = probes._Pair(task, members, task.data(configs[0], CPU), CPU)
    kept = [{name: value.clone() for name, value in model.state_dict().items()} for model in pair._models]

    assert pair.fault("grouped") == ""
    for model, copy in zip(pair._models, kept, strict=True):
        assert all(torch.equal(value, copy[name]) for name, value in model.state_dict().items())
