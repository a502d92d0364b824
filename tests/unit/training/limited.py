"""A task that runs out of memory when more trials are trained at once than it was told."""

import torch
from torch import nn

from tests.unit.training.architectures import Zoo


class Limited(Zoo):
    """Heads whose activations fit for so many trials at once."""

    def __init__(self, trials):
        super().__init__()
        self.most = trials * 8 * 12

    def model(self, cfg):
        """Put the limit behind the first layer; it holds in training, where batches have 8 items."""
        return nn.Sequential(
            nn.Linear(16, 12), Hungry(self.most), nn.ReLU(), nn.Dropout(cfg.dropout), nn.Linear(12, 3)
        ).to(self.dtype)


class Hungry(nn.Module):
    """Runs out of memory when more numbers pass through it in training than it was told."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, x):
        """Refuse what is too large, as a card does."""
        if self.training and x.numel() > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return x
