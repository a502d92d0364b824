"""SpecAugment: what it hides, what it never touches."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.training import streams
from hpc_sweep.training.augment import augment, hide, stripes

NODE = {
    "name": "specaugment",
    "frequency_masks": 1,
    "frequency_width": 0.25,
    "time_masks": 2,
    "time_width": 0.5,
}


def cfg(**changes):
    """Return an augment node."""
    return OmegaConf.create({**NODE, **changes})


def generator(seed=0):
    """Return a seeded generator."""
    return torch.Generator().manual_seed(seed)


def key(seed=0):
    """Return the key of a step."""
    return torch.tensor(streams.key(seed, streams.Purpose.AUGMENTATION, 1))


def test_one_stripe_is_contiguous_inside_and_never_wider_than_allowed():
    """Widths are 0 to the asked part of the length, all of them occur, and a stripe has no hole."""
    covered = stripes(torch.rand(5000, 1, 2, generator=generator()), 10, 0.35)
    edges = covered.int().diff(dim=1).abs().sum(1)

    assert covered.shape == (5000, 10)
    assert covered.sum(1).unique().tolist() == [0, 1, 2, 3]
    assert edges.max() <= 2
    assert covered.any(0).all()


def test_extreme_random_numbers_stay_inside_the_picture():
    """The largest number below one gives the widest stripe, at the very end."""
    largest = torch.full((1, 1, 2), 1 - 2**-24)

    assert stripes(largest, 224, 0.15).nonzero()[:, 1].tolist() == list(range(224 - 33, 224))
    assert stripes(torch.zeros(1, 1, 2), 224, 0.15).sum() == 0


def test_widths_are_even():
    """Of 20,000 stripes each of four widths has a quarter, within four standard errors."""
    widths = stripes(torch.rand(20000, 1, 2, generator=generator(1)), 12, 0.25).sum(1)

    assert (torch.bincount(widths, minlength=4) / 20000 - 0.25).abs().max() < 4 * (0.25 * 0.75 / 20000) ** 0.5


def test_hidden_rows_and_columns_get_the_mean_of_their_own_picture():
    """What is hidden becomes the picture's mean; everything else stays bit for bit."""
    pictures = torch.randn(2, 1, 4, 5, generator=generator())
    rows = torch.tensor([[True, False, False, False], [False] * 4])
    columns = torch.tensor([[False] * 5, [False, False, True, False, False]])
    hidden = hide(pictures, rows, columns)

    assert torch.equal(hidden[0, 0, 0], pictures[0].mean().expand(5))
    assert torch.equal(hidden[0, 0, 1:], pictures[0, 0, 1:])
    assert torch.equal(hidden[1, 0, :, 2], pictures[1].mean().expand(4))
    assert torch.equal(hidden[1, 0, :, [0, 1, 3, 4]], pictures[1, 0, :, [0, 1, 3, 4]])


def test_pictures_are_augmented_differently_and_repeatably():
    """Pictures of one batch have masks of their own; the same stream gives the same masks."""
    pictures = torch.randn(1, 1, 16, 16, generator=generator()).expand(6, -1, -1, -1)
    first = augment(pictures, cfg(), key(2))

    assert torch.equal(first, augment(pictures, cfg(), key(2)))
    assert not torch.equal(first, augment(pictures, cfg(), key(3)))
    assert len({tuple(picture.flatten().tolist()) for picture in first}) > 1


def test_time_masks_hide_columns_and_frequency_masks_hide_rows():
    """Rows are frequencies, columns are times."""
    pictures = torch.randn(64, 1, 8, 8, generator=generator())
    changed = augment(pictures, cfg(frequency_masks=0, time_width=1.0), key()) != pictures

    assert changed.any()
    assert torch.equal(changed.any(-2), changed.all(-2))


@pytest.mark.parametrize(
    "node", [cfg(name="none"), cfg(frequency_masks=0, time_masks=0), cfg(frequency_width=0, time_width=0)]
)
def test_without_masks_pictures_stay_as_they_are(node):
    """Off is really off."""
    pictures = torch.randn(3, 1, 8, 8, generator=generator())

    assert torch.equal(augment(pictures, node, key()), pictures)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"name": "mixup"}, "augment=none or augment=specaugment"),
        ({"time_masks": -1}, "augment.time_masks=2"),
        ({"frequency_width": 1.5}, "augment.frequency_width=0.15"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_type(changes, hint):
    """A wrong name or number is a UserError that shows a right one."""
    with pytest.raises(UserError, match=hint):
        augment(torch.zeros(1, 1, 4, 4), cfg(**changes), key())
