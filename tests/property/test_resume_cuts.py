"""A trial that is cut anywhere, any number of times, equals one that was not: bit for bit, on a CPU, with real torch.

A cut is an exception in a random step, or in the middle of a save; the next attempt takes over what the earlier ones
left, exactly as a shard does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from hpc_sweep import paths
from hpc_sweep.runtime.checkpoints import adopt
from hpc_sweep.runtime.claim import claim
from hpc_sweep.training import losses
from hpc_sweep.training.loop import fit
from hpc_sweep.training.metrics import Classified
from hpc_sweep.training.task import Data, Recipe, Split
from hpc_sweep.trial import Outcome

CPU = torch.device("cpu")
EPOCHS, BATCHES = 4, 4


class Cut(BaseException):
    """The attempt is over."""


@dataclass
class Fuse:
    """Counts steps and burns at one of them."""

    at: int = -1
    steps: int = 0

    def step(self):
        """Count a step; Cut at the one that was chosen."""
        self.steps += 1
        if self.steps == self.at:
            raise Cut


class Blobs:
    """Which of three blobs a point is in; the model, optimizer and scheduler are those of a mix."""

    value_keys = ()
    inputs_read = ()
    loss_read = ()

    def __init__(self, mix, fuse):
        self.mix, self.fuse = mix, fuse

    def data(self, cfg, device):
        """Make 24 points to train on and 9 to judge by."""
        generator = torch.Generator().manual_seed(3)
        y = torch.arange(33) % 3
        x = torch.randn(33, 6, generator=generator) + 2 * torch.eye(3)[y].repeat(1, 2)
        return Data(Split(x[:24].to(device), y[:24].to(device)), Split(x[24:], y[24:]), ("a", "b", "c"), cfg.data)

    def model(self, cfg):
        """Build the model of the mix."""
        del cfg
        return MIXES[self.mix][0]()

    def inputs(self, x, cfg, key=None):
        """Jitter in training, by the key of the step."""
        del cfg
        if key is None:
            return x
        generator = torch.Generator().manual_seed(int(key.flatten()[0]) & 0xFFFFFFFF)
        return x + 0.1 * torch.randn(x.shape, generator=generator)

    def loss(self, out, y, cfg, data):
        """Burn down the fuse with every step."""
        del cfg, data
        self.fuse.step()
        return losses.cross_entropy(out, y)

    def recipe(self, cfg):
        """Ask the trainer for nothing more."""
        del cfg
        return Recipe()

    def optimizer(self, params, cfg):
        """Build the optimizer of the mix."""
        del cfg
        return MIXES[self.mix][1](params.values())

    def scheduler(self, optimizer, cfg):
        """Build the scheduler of the mix."""
        del cfg
        return MIXES[self.mix][2](optimizer)

    def tally(self, out, y, cfg):
        """Count as a classifier."""
        del cfg
        return Classified.of(out, y)


class Recurrent(nn.Module):
    """A GRU over the coordinates, with dropout behind it."""

    def __init__(self):
        super().__init__()
        self.gru, self.drop, self.out = nn.GRU(1, 5, batch_first=True), nn.Dropout(0.2), nn.Linear(5, 3)

    def forward(self, x):
        """Return scores."""
        return self.out(self.drop(self.gru(x[..., None])[0][:, -1]))


MIXES = {
    "batch norm, adam, exponential": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3)),
        lambda params: torch.optim.Adam(params, lr=0.02, amsgrad=True),
        lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.7),
    ),
    "layer norm, momentum, cosine": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 3)),
        lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS),
    ),
    "recurrent, adamw, one cycle": (
        Recurrent,
        lambda params: torch.optim.AdamW(params, lr=0.01),
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=EPOCHS + 1),
    ),
}


class Kept:
    """The context of an attempt: saves after most epochs, and can be cut in the middle of a save."""

    threads, stop_requested = 1, False

    def __init__(self, folder, draw, *, cut_in_save=False):
        self.checkpoint_dir, self.draw, self.cut_in_save = folder, draw, cut_in_save

    def report(self, epoch, metrics):
        """Drop the report."""

    def keep(self, epoch, save):
        """Save after most epochs, and after the last one."""
        if epoch < EPOCHS and self.draw.random() < 0.3:
            return
        if self.cut_in_save:
            self.checkpoint_dir.mkdir(parents=True, exist_ok=True)
            (self.checkpoint_dir / f".epoch-{epoch:06d}.ckpt-half").write_bytes(b"half")
            raise Cut
        save()


def configuration():
    """Return the configuration of a trial."""
    return OmegaConf.create({"seed": 5, "epochs": EPOCHS, "batch_size": 6, "data": "d" * 64})


def state_of(folder):
    """Return the bytes of everything in the last checkpoint that training goes on from."""
    path = folder / f"epoch-{EPOCHS:06d}.ckpt"
    return path.read_bytes().split(b"\n", 2)[1:]


def run(mix, context, fuse):
    """Run one attempt to its end or to its cut; return its result, or None."""
    try:
        result = fit(Blobs(mix, fuse), configuration(), context, CPU)
        result.extras["stack"].pop("epoch_seconds", None)  # time is no part of what repeats
        return result
    except Cut:
        return None


def check(mix, memory, cuts, draw):
    """Cut a trial so often, at random, and compare it with a calm one: metrics, curves and the last state."""
    calm_folder = memory / "calm"
    calm = run(mix, Kept(calm_folder, random.Random(0)), Fuse())
    sweep, earlier, result, done = paths.Sweep(memory / "sweep"), [], None, 0
    while result is None:
        attempt = claim(sweep, 1)
        adopt(attempt, earlier, "id")
        earlier.append(attempt)
        cutting = done < cuts
        fuse = Fuse(draw.randrange(1, EPOCHS * BATCHES + 1) if cutting else -1)
        context = Kept(attempt.checkpoints("id"), draw, cut_in_save=cutting and draw.random() < 0.2)
        result = run(mix, context, fuse)
        done += result is None
    assert result.outcome is Outcome.COMPLETED
    assert (result.metrics, result.curves, result.extras) == (calm.metrics, calm.curves, calm.extras)
    assert state_of(earlier[-1].checkpoints("id")) == state_of(calm_folder)
    return done


@pytest.mark.parametrize("mix", MIXES)
def test_a_cut_trial_equals_a_calm_one(memory, mix):
    """A dozen random cuts in a row change not one bit."""
    assert check(mix, memory, 12, random.Random(11)) >= 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mix", MIXES)
def test_two_hundred_cuts_change_not_one_bit(memory, mix):
    """Whatever the model and the optimizer carry."""
    draw, done = random.Random(13), 0
    while done < 200:
        folder = memory / str(done)
        folder.mkdir()
        done += check(mix, folder, 5, draw)
