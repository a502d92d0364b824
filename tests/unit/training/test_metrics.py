"""Metrics against values that were worked out by hand."""

from __future__ import annotations

import math

import torch

from hpc_sweep.training.metrics import Classified, accuracy, confusion, macro_f1, recall

MATRIX = torch.tensor([[3, 1, 0], [0, 2, 2], [0, 0, 2]])


def test_confusion_has_truth_in_rows_and_prediction_in_columns():
    """An item of class 0 taken for class 2 counts in row 0, column 2."""
    counts = confusion(torch.tensor([0, 0, 1]), torch.tensor([2, 0, 1]), 3)

    assert counts.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_accuracy_is_the_diagonal_over_everything():
    """Seven of ten items were recognised."""
    assert accuracy(MATRIX).item() == 0.7


def test_recall_is_the_diagonal_over_the_rows():
    """Three of four, two of four, two of two."""
    assert recall(MATRIX).tolist() == [0.75, 0.5, 1.0]


def test_macro_f1_is_the_mean_over_classes():
    """F1 is 2 TP / (row + column): 6/7, 4/7, 4/6."""
    assert math.isclose(macro_f1(MATRIX).item(), (6 / 7 + 4 / 7 + 4 / 6) / 3, rel_tol=1e-15)


def test_macro_f1_leaves_out_a_class_that_does_not_occur():
    """A class that is neither truth nor prediction is no failure of the model."""
    assert macro_f1(torch.tensor([[2, 0], [0, 0]])).item() == 1.0


def test_matrices_of_several_trials_are_judged_in_one_call():
    """Leading axes are kept and each matrix is judged alone."""
    both = torch.stack([MATRIX, MATRIX.T])

    assert accuracy(both).tolist() == [0.7, 0.7]
    assert recall(both)[0].tolist() == recall(MATRIX).tolist()
    assert macro_f1(both).tolist() == [macro_f1(MATRIX).item(), macro_f1(MATRIX.T).item()]


def test_tallies_of_batches_add_up_to_the_tally_of_all():
    """Metrics do not depend on how the items were batched."""
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.arange(10) % 3
    whole = Classified.of(logits, y)
    parts = Classified.of(logits[:7], y[:7]) + Classified.of(logits[7:], y[7:])

    assert parts.details() == whole.details()
    assert math.isclose(parts.metrics()["cross_entropy"], whole.metrics()["cross_entropy"], rel_tol=1e-14)
    assert parts.metrics()["accuracy"] == whole.metrics()["accuracy"]


def test_cross_entropy_of_even_logits_is_the_logarithm_of_the_number_of_classes():
    """A model that says nothing scores ln C nats."""
    assert math.isclose(
        Classified.of(torch.zeros(5, 11), torch.arange(5)).metrics()["cross_entropy"], math.log(11), rel_tol=1e-6
    )


def test_correct_keeps_the_order_of_the_items():
    """The text has one digit for each item, 1 where it was recognised."""
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 0])]

    assert Classified.of(logits, torch.tensor([0, 2, 2, 1])).details()["correct"] == "1010"


def test_a_class_without_items_has_no_recall():
    """Zero of zero is no number, so no metric is made of it."""
    tally = Classified.of(torch.eye(3)[torch.tensor([0, 1])], torch.tensor([0, 0]))

    assert tally.by_class(("a", "b", "c")) == {"recall_a": 0.5}
