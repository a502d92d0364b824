"""Class weights against the published numbers of IRMAS, and smoothed labels by hand."""

from __future__ import annotations

import torch

from hpc_sweep.training.losses import balanced_weights, cross_entropy

IRMAS_COUNTS = [388, 505, 451, 637, 760, 682, 721, 626, 577, 580, 778]
IRMAS_WEIGHTS = [1.571, 1.207, 1.352, 0.957, 0.802, 0.894, 0.845, 0.974, 1.056, 1.051, 0.783]


def test_balanced_weights_are_those_of_irmas():
    """The 6,705 clips of IRMAS give the weights that follow from its published class counts."""
    labels = torch.repeat_interleave(torch.arange(11), torch.tensor(IRMAS_COUNTS))

    assert [round(weight, 3) for weight in balanced_weights(labels, 11).tolist()] == IRMAS_WEIGHTS


def test_a_class_without_items_has_weight_zero():
    """An absent class must not make the weights infinite."""
    assert balanced_weights(torch.tensor([0, 0, 0, 2, 2, 2]), 4).tolist() == [0.5, 0.0, 0.5, 0.0]


def test_weighted_cross_entropy_is_the_mean_weighted_by_item():
    """Weights divide by their sum over the batch, so a constant weight changes nothing."""
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0, 1, 2])

    torch.testing.assert_close(
        cross_entropy(logits, y, torch.full((3,), 5.0, dtype=torch.float64)), cross_entropy(logits, y)
    )


def test_smoothing_spreads_a_part_of_each_label_evenly():
    """The loss is the mixture of cross-entropy with the label and with every class alike."""
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    evenly = -logits.log_softmax(1).mean()

    torch.testing.assert_close(
        cross_entropy(logits, y, label_smoothing=0.3), 0.7 * cross_entropy(logits, y) + 0.3 * evenly
    )
