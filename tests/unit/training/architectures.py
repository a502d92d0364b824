"""Small models of many kinds, as one would write them for one trial, and a task that trains them.

What comes right before a BatchNorm has no bias, nor has attention: their gradients are zero in exact arithmetic, and
Adam makes whole steps of what rounding leaves of them, others in every engine.

Pictures are (B, 2, 8, 8), flat inputs (B, 16), sequences (B, 6, 8), tokens (B, 6). Every model has three classes.
"""

# ruff: noqa: D102 because every forward does what its class says

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional

from hpc_sweep.training import losses, optimizers
from hpc_sweep.training.augment import augment
from hpc_sweep.training.metrics import Classified
from hpc_sweep.training.task import Data, Split

CLASSES = ("low", "middle", "high")
ITEMS = 40


class Residual(nn.Module):
    """Two convolutions around a shortcut, as in a residual network."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return functional.relu(x + self.second(functional.relu(self.norm(self.first(x)))))


class SqueezeExcite(nn.Module):
    """Scales each channel by what all channels' means say."""

    def __init__(self, channels):
        super().__init__()
        self.squeeze = nn.Linear(channels, 2)
        self.excite = nn.Linear(2, channels)

    def forward(self, x):
        weights = torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean((-2, -1))))))
        return x * weights[:, :, None, None]


class Attention(nn.Module):
    """One layer of attention written out, with a LayerNorm and a class token of its own."""

    def __init__(self, width, dropout):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, width) / 4)
        self.norm, self.qkv, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width, bias=False),
            nn.Linear(width, width),
        )
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(width, 3)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)
        return self.head((x + self.out(self.dropout(weights) @ v))[:, 0])


class Recurrent(nn.Module):
    """An LSTM whose last output is classified."""

    def __init__(self, dropout):
        super().__init__()
        self.lstm, self.dropout, self.head = nn.LSTM(8, 6, batch_first=True), nn.Dropout(dropout), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.dropout(self.lstm(x)[0][:, -1]))


class Tied(nn.Module):
    """One matrix used twice."""

    def __init__(self, dropout):
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.dropout(torch.tanh(self.second(torch.tanh(self.first(x))))))


class Averaging(nn.Module):
    """Centres its input by a moving mean that it assigns anew: a buffer that a fused engine would lose."""

    def __init__(self, dropout):
        super().__init__()
        self.register_buffer("ema", torch.zeros(16))
        self.body = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 3))

    def forward(self, x):
        if self.training:
            self.ema = 0.9 * self.ema + 0.1 * x.detach().mean(0)
        return self.body(x - self.ema)


class Branching(nn.Module):
    """Takes another way when its activations say so."""

    def __init__(self, dropout):
        super().__init__()
        self.first, self.dropout, self.head = nn.Linear(16, 12), nn.Dropout(dropout), nn.Linear(12, 3)

    def forward(self, x):
        z = self.first(x)
        z = torch.relu(z) if z.sum() > 0 else torch.tanh(z)
        return self.head(self.dropout(z))


class Concatenating(nn.Module):
    """Joins two branches on the channel axis, which a grouped engine would interleave wrongly."""

    def __init__(self, dropout):
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 4, 1)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(7, 3)

    def forward(self, x):
        joined = torch.cat([self.left(x), self.right(x)], 1)
        return self.head(self.dropout(functional.relu(joined).mean((-2, -1))))


class Drawing(nn.Module):
    """Draws in its own code, from torch's global generator."""

    def __init__(self, dropout):
        super().__init__()
        self.rate, self.first, self.head = dropout, nn.Linear(16, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(functional.dropout(self.first(x).relu(), self.rate, self.training))


class Tokens(nn.Module):
    """An embedding, summed over the sequence."""

    def __init__(self, dropout):
        super().__init__()
        self.table, self.dropout, self.head = nn.Embedding(5, 8), nn.Dropout(dropout), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.dropout(torch.tanh(self.table(x)).sum(1)))


def _head(*layers, channels, dropout):
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, 3))
    return nn.Sequential(*layers, *pooled)


def _cnn(p):
    block = (nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    return _head(*block, nn.Dropout2d(p), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), channels=6, dropout=p)


def _depthwise(p):
    layers = (
        nn.Conv2d(2, 8, 1, bias=False),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
    )
    return _head(
        nn.Conv2d(2, 2, 3, padding=1, groups=2, bias=False), *layers, nn.Conv2d(8, 4, 1), channels=4, dropout=p
    )


def _group_norm(p):
    return _head(nn.Conv2d(2, 8, 3), nn.GroupNorm(4, 8), nn.SiLU(), nn.Conv2d(8, 4, 3), channels=4, dropout=p)


def _residual(p):
    return _head(nn.Conv2d(2, 4, 3, padding=1), Residual(4), nn.AvgPool2d(2), Residual(4), channels=4, dropout=p)


def _squeeze_excite(p):
    return _head(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), SqueezeExcite(6), channels=6, dropout=p)


def _layer_norm(p):
    body = (nn.LayerNorm(16), nn.Linear(16, 12), nn.LayerNorm(12), nn.GELU(), nn.Dropout(p), nn.Linear(12, 12))
    return nn.Sequential(*body, nn.ReLU(), nn.Linear(12, 3))


def _batch_norm(p):
    body = (nn.Linear(16, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU(inplace=True), nn.Dropout(p))
    return nn.Sequential(*body, nn.Linear(12, 3))


def _transformer(p):
    layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True, bias=False)
    layer.dropout1.p = p
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(48, 3))


def _weight_norm(p):
    first = nn.utils.parametrizations.weight_norm(nn.Linear(16, 12))
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(p), nn.Linear(12, 3))


def _conv1d(p):
    body = (nn.Conv1d(6, 8, 3, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(p), nn.Conv1d(8, 4, 3))
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(16, 3))


PICTURES, FLAT, SEQUENCES, TOKENS = (2, 8, 8), (16,), (6, 8), (6,)

ARCHITECTURES: dict[str, tuple[tuple[int, ...], Any]] = {
    "batchnorm cnn": (PICTURES, _cnn),
    "residual": (PICTURES, _residual),
    "depthwise": (PICTURES, _depthwise),
    "groupnorm": (PICTURES, _group_norm),
    "squeeze-excite": (PICTURES, _squeeze_excite),
    "concatenating": (PICTURES, Concatenating),
    "batchnorm mlp": (FLAT, _batch_norm),
    "layernorm mlp": (FLAT, _layer_norm),
    "shared weights": (FLAT, Tied),
    "attention": (SEQUENCES, lambda p: Attention(8, p)),
    "transformer": (SEQUENCES, _transformer),
    "conv1d": (SEQUENCES, _conv1d),
    "embedding": (TOKENS, Tokens),
    "lstm": (SEQUENCES, Recurrent),
    "weight norm": (FLAT, _weight_norm),
    "re-assigned buffer": (FLAT, Averaging),
    "branch on data": (FLAT, Branching),
    "drawing": (FLAT, Drawing),
}

EXPECTED = {
    "batchnorm cnn": {"grouped", "vmap"},
    "residual": {"grouped", "vmap"},
    "depthwise": {"grouped", "vmap"},
    "groupnorm": {"grouped", "vmap"},
    "squeeze-excite": {"grouped", "vmap"},
    "concatenating": {"vmap"},
    "batchnorm mlp": {"grouped", "vmap"},
    "layernorm mlp": {"grouped", "vmap"},
    "shared weights": {"grouped", "vmap"},
    "attention": {"vmap"},
    "transformer": {"vmap"},
    "conv1d": {"grouped", "vmap"},
    "embedding": {"vmap"},
    "lstm": set(),
    "weight norm": {"vmap"},
    "re-assigned buffer": set(),
    "branch on data": set(),
    "drawing": set(),
}
"""The engines beside sequential that are right for each architecture."""


class Zoo:
    """Three classes of synthetic items, classified by any of the architectures; a `hpc_sweep.training.task.Task`."""

    value_keys = (
        "dropout",
        "optimizer.lr",
        "optimizer.l2",
        "optimizer.betas",
        "optimizer.clip_norm",
        "label_smoothing",
        "weighting",
        "mixup",
        "patience",
        "augment.frequency_width",
        "augment.time_width",
    )
    inputs_read = ("augment",)
    loss_read = ("label_smoothing", "weighting")

    def __init__(self, dtype=torch.float64):
        self.dtype = dtype

    def data(self, cfg, device):
        """Make 40 training and 21 validation items, always the same."""
        shape = ARCHITECTURES[cfg.architecture][0]
        generator = torch.Generator().manual_seed(0)
        y = torch.arange(ITEMS + 21) % 3
        x = torch.randn(len(y), *shape, generator=generator) + (y - 1).view(-1, *[1] * len(shape))
        x = (x > 0).sum(-1, keepdim=True).expand(-1, 6) % 5 if shape == TOKENS else x.to(self.dtype)
        x, y = x.contiguous().to(device), y.to(device)
        constants = {"weights": torch.tensor([0.5, 1.0, 2.0], dtype=self.dtype, device=device)}
        return Data(Split(x[:ITEMS], y[:ITEMS]), Split(x[ITEMS:], y[ITEMS:]), CLASSES, "f" * 64, constants)

    def model(self, cfg):
        """Build the architecture."""
        return ARCHITECTURES[cfg.architecture][1](cfg.dropout).to(self.dtype)

    def inputs(self, x, cfg, key=None):
        """Augment pictures in training."""
        return augment(x, cfg.augment, key) if key is not None and x.ndim == 4 else x

    def loss(self, out, y, cfg, data):
        """Return the cross-entropy, smoothed and weighted as configured."""
        return losses.cross_entropy(out, y, data.constants["weights"] if cfg.weighting else None, cfg.label_smoothing)

    def recipe(self, cfg):
        """Return what is configured."""
        return replace(optimizers.recipe(cfg.optimizer), mixup=cfg.mixup, patience=cfg.patience)

    def optimizer(self, params, cfg):
        """Build the optimizer that is configured."""
        return optimizers.build(params, cfg.optimizer)

    def scheduler(self, optimizer, cfg):
        """Lower the learning rate every epoch."""
        del cfg
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    def tally(self, out, y, cfg):
        """Count as a classifier."""
        del cfg
        return Classified.of(out, y)


def configuration(architecture, **changes):
    """Return a read-only configuration: defaults, changed by dotted keys (``__`` for the dot)."""
    cfg = OmegaConf.create(
        {
            "architecture": architecture,
            "seed": 1,
            "epochs": 4,
            "batch_size": 8,
            "dropout": 0.3,
            "optimizer": {
                "name": "adam",
                "lr": 0.01,
                "betas": [0.9, 0.999],
                "momentum": 0.9,
                "nesterov": True,
                "l2": 0.001,
                "l2_as": "penalty",
                "clip_norm": None,
            },
            "label_smoothing": 0.0,
            "weighting": False,
            "mixup": 0.0,
            "patience": None,
            "augment": {
                "name": "specaugment",
                "frequency_masks": 1,
                "frequency_width": 0.3,
                "time_masks": 1,
                "time_width": 0.3,
            },
            "identity": {"exclude": ["identity"]},
        }
    )
    for key, value in changes.items():
        OmegaConf.update(cfg, key.replace("__", "."), value)
    OmegaConf.set_readonly(cfg, value=True)
    return cfg


def grid(architecture, count, **changes):
    """Return configurations of so many trials that differ in dropout, learning rate, L2 and seed, or as is said."""
    return [
        configuration(
            architecture,
            **{
                "dropout": 0.1 + 0.05 * (k % 7),
                "optimizer__lr": 0.01 / (1 + k % 3),
                "optimizer__l2": 0.001 * (k % 2),
                "seed": 1 + k // 4,
                **changes,
            },
        )
        for k in range(count)
    ]
