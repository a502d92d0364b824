"""How an engine is chosen, how many trials fit, and what a worker needs of its machine."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from hpc_sweep.training import capacity as capacities
from hpc_sweep.training import environment
from hpc_sweep.training.capacity import capacity, free, per_trial
from hpc_sweep.training.choice import Choice, alone
from hpc_sweep.training.member import Member
from hpc_sweep.training.race import choose
from hpc_sweep.trial import Quiet
from tests.unit.training.architectures import Zoo, grid
from tests.unit.training.limited import Limited

CPU = torch.device("cpu")


def chosen(architecture, count=6, task=None, *, forced=False):
    """Return the choice for trials of an architecture."""
    task, configs = task or Zoo(), grid(architecture, count)
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    return choose(task, members, task.data(configs[0], CPU), CPU, forced=forced)


def test_the_fastest_right_engine_is_chosen():
    """Every right engine is timed; the fastest is taken when it gains more than the margin, else the reference."""
    choice = chosen("batchnorm mlp")
    best = max(choice.ratios.values())

    assert set(choice.ratios) == {"grouped", "vmap"}
    assert (choice.engine in ("grouped", "vmap")) == (best > 1.05)
    assert choice.engine == "sequential" or choice.ratio == best


class Wide(Zoo):
    """Convolutions that keep a core busy, where nothing is left to be gained."""

    def model(self, cfg):
        """Make them wide."""
        body = (nn.Conv2d(2, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 96, 3, padding=1), nn.ReLU())
        return nn.Sequential(*body, nn.Flatten(), nn.Dropout(cfg.dropout), nn.Linear(96 * 64, 3)).to(self.dtype)


def test_a_busy_core_is_not_made_slower():
    """What is chosen for wide convolutions was never measured slower than one after the other."""
    choice = chosen("residual", 3, Wide(torch.float32))

    assert choice.engine == "sequential" or choice.ratio >= 1.05
    assert choice.size == (1 if choice.engine == "sequential" else 3)


def test_a_model_that_no_engine_fuses_says_why():
    """Every other engine is named with its reason, in one line."""
    choice = chosen("lstm", forced=True)

    assert (choice.engine, choice.size, choice.ratio) == ("sequential", 1, None)
    assert "grouped: LSTM 'lstm' has no grouped rule" in choice.why
    assert "vmap: " in choice.why


def test_an_engine_that_fails_with_all_is_not_chosen_for_what_it_did_with_a_few():
    """Memory has room for five, and six are to be trained: what was timed with four of them says nothing."""
    choice = chosen("layernorm mlp", task=Limited(5))

    assert choice.engine != "grouped"
    assert "grouped" not in choice.ratios
    assert "grouped: OutOfMemoryError" in choice.why


def test_a_record_gives_the_choice_back():
    """Through JSON and with fields of others beside it."""
    choice = Choice("grouped", 4, ("a", "b"), 2.5, "because", {"grouped": 2.5})

    assert Choice.read({**choice.record(), "kind": "choice"}) == choice
    assert choice.smaller(1, "too large").engine == "sequential"
    assert choice.smaller(2, "too large").engine == "grouped"


def member(architecture="batchnorm cnn", **changes):
    """Return task, one member, and its data."""
    task, (cfg,) = Zoo(), grid(architecture, 1, **changes)
    return task, Member.of(task, cfg, Quiet()), task.data(cfg, CPU)


def test_one_trial_needs_what_its_step_keeps():
    """Twice the batch keeps about twice as much; parameters count with what moves them."""
    small, large = (per_trial(*member(batch_size=size), CPU) for size in (8, 16))

    assert 1.6 < large / small < 2.1
    task, one, data = member("layernorm mlp")
    parameters = sum(param.nbytes for param in task.model(one.cfg).parameters())
    assert per_trial(task, one, data, CPU) > 4 * parameters


def test_as_many_fit_as_memory_has_room_for(monkeypatch):
    """Half of the free memory is planned for; at least one is tried, and never more than there are."""
    task, one, data = member()
    need = per_trial(task, one, data, CPU)
    for room, expected in ((need, 1), (9 * need, 4), (1000 * need, 7)):
        monkeypatch.setattr(capacities, "free", lambda _, room=room: room)
        assert capacity(task, [one] * 7, data, CPU) == expected


def test_free_memory_is_what_this_job_may_use():
    """More than nothing, and not more than the machine has."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    assert 0 < free(CPU) <= machine


def test_a_trial_alone_is_sequential():
    """Nothing is probed for it."""
    _, one, _ = member()

    assert alone([one.digest], "as asked") == Choice("sequential", 1, (one.digest,), None, "as asked")


FAULTS = """
import resource, sys, torch
from hpc_sweep.training import environment
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert environment.keep_heap() == environment.KEPT
for _ in range(20):
    torch.ones(16, 1024, 32, 32).relu_()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16, 1024, 32, 32).relu_()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.parametrize("way", ["keep", "environment"])
def test_a_kept_heap_has_its_page_faults_once(run_python, way):
    """Ten times 64 MiB: tens of thousands of faults by default, hardly any with either setting."""
    by_default = int(run_python("-c", FAULTS, "default", check=True).stdout)
    env = environment.worker(1) if way == "environment" else {}
    kept = int(run_python("-c", FAULTS, way, env=env, check=True).stdout)

    assert by_default > 10_000
    assert kept < by_default / 10


def test_a_worker_is_started_with_its_threads():
    """Every library's variable says the number; values are text, as an environment needs."""
    variables = environment.worker(3)

    assert {variables[name] for name in variables if name.endswith("NUM_THREADS")} == {"3"}
    assert all(isinstance(value, str) for value in variables.values())


def test_the_environment_needs_no_torch(run_python):
    """Whoever starts workers does not import torch for it."""
    code = "import sys; from hpc_sweep.training import environment; print('torch' in sys.modules)"

    assert run_python("-c", code).stdout.strip() == "False"
