"""What the members of a stack see: made once where it is the same, and mixed where that is asked."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from hpc_sweep.errors import UserError
from hpc_sweep.training import mixup
from hpc_sweep.training.feed import Feed, judged
from hpc_sweep.training.keys import epoch_keys
from hpc_sweep.training.member import Member
from hpc_sweep.trial import Quiet
from tests.unit.training.architectures import Zoo, configuration, grid

CPU = torch.device("cpu")


def fed(configs, epochs=None):
    """Return the batches of one epoch."""
    task = Zoo()
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    split = task.data(configs[0], CPU).train
    return list(Feed(task, members, split, CPU).epoch(epochs or [1] * len(configs)))


def test_trials_of_one_seed_share_their_batches():
    """A grid over dropout, rate and L2 sees one source; batches are whole, five of eight."""
    batches = fed(grid("batchnorm cnn", 6, seed=1))

    assert len(batches) == 5
    assert all(batch.x.shape == (1, 8, 2, 8, 8) and batch.shared for batch in batches)
    assert batches[0].sources == (0,) * 6


@pytest.mark.parametrize(
    "changes", [{"seed": 2}, {"augment__time_width": 0.9}, {"mixup": 0.5}], ids=["seed", "augmentation", "mixup"]
)
def test_trials_that_see_something_else_have_a_source_of_their_own(changes):
    """Seed, the configuration of the inputs and mixup each part a trial from the others, and only it."""
    plain = configuration("batchnorm cnn")
    batch = fed([plain, configuration("batchnorm cnn", **changes), plain])[0]

    assert batch.sources == (0, 1, 0)
    assert not torch.equal(batch.x[0], batch.x[1])
    assert torch.equal(batch.x[0], fed([plain])[0].x[0])


def test_members_in_different_epochs_see_their_own():
    """A trial that joined later has the batches that it would have alone."""
    cfg = configuration("batchnorm cnn")
    together = fed([cfg, cfg], [1, 3])

    assert together[0].sources == (0, 1)
    assert torch.equal(together[0].x[1], fed([cfg], [3])[0].x[0])


def test_validation_items_come_once_in_their_order():
    """21 items in three batches, whatever the seeds are."""
    task, configs = Zoo(), grid("batchnorm cnn", 6)
    members = [Member.of(task, cfg, Quiet()) for cfg in configs]
    val = task.data(configs[0], CPU).val
    batches = list(judged(task, members, val, CPU))

    assert [batch.x.shape[1] for batch in batches] == [8, 8, 5]
    assert torch.equal(torch.cat([batch.x[0] for batch in batches]), val.x)


def test_mixup_mixes_inputs_and_keeps_both_labels():
    """Each item is its share of itself and the rest of its partner, who comes from the same batch."""
    plain, mixed = fed([configuration("layernorm mlp")])[0], fed([configuration("layernorm mlp", mixup=0.8)])[0]
    kept = mixed.kept[0].item()
    partner = (mixed.x[0] - kept * plain.x[0]) / (1 - kept)
    who = [(plain.x[0] - row).abs().sum(1).argmin().item() for row in partner]

    assert sorted(who) == list(range(8))
    torch.testing.assert_close(partner, plain.x[0][who], rtol=0, atol=1e-9)
    assert torch.equal(mixed.other[0], plain.y[0][who])
    assert torch.equal(mixed.y, plain.y)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0])
def test_shares_follow_the_beta_distribution(alpha):
    """Two thousand draws pass a Kolmogorov-Smirnov test at one in a thousand."""
    draws = [mixup.share(key, alpha) for key in range(2000)]

    assert all(0 <= draw <= 1 for draw in draws)
    assert stats.kstest(draws, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_no_mixup_is_really_none():
    """An alpha of zero keeps the whole item, and what cannot be mixed is refused."""
    x = torch.randn(4, 2)

    assert mixup.share(1, 0.0) == 1.0
    assert mixup.mixed(x, torch.arange(4).flip(0), 1.0) is x
    with pytest.raises(UserError, match="mixup=0"):
        mixup.mixed(torch.arange(4), torch.arange(4), 0.5)


def test_keys_differ_by_step_place_and_trial_and_are_those_of_the_trial_alone():
    """The column of a member is what it would be told alone; one seed gives one column, expanded."""
    task = Zoo()
    members = [Member.of(task, configuration("layernorm mlp", seed=seed), Quiet()) for seed in (1, 2, 1)]
    together = list(epoch_keys(members, [1, 1, 2], 3, ("a", "b"), CPU))
    alone = list(epoch_keys(members[1:2], [1], 3, ("a", "b"), CPU))
    same = next(iter(epoch_keys(members[:1] * 4, [1] * 4, 3, ("a", "b"), CPU)))

    assert len({int(key) for step in together for key in step.places.flatten()}) == 3 * 2 * 3
    assert all(torch.equal(one.places[:, 1], other.places[:, 0]) for one, other in zip(together, alone, strict=True))
    assert [one.guards[1] for one in together] == [other.guards[0] for other in alone]
    assert same.places.shape == (2, 4)
    assert same.places.stride(1) == 0
    assert math.isclose(len(set(same.guards)), 1)
