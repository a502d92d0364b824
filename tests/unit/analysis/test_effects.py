"""Main effects: contrasts of marginal means, their noise, and the correction for their number."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import t as student

from hpc_sweep.analysis.effects import Effect, effects, holm
from hpc_sweep.analysis.scores import Scores


def grid(*sizes):
    """Return the configurations of a full grid."""
    return [dict(zip("abcdef", levels, strict=False)) for levels in itertools.product(*map(range, sizes))]


def runs(matrix):
    """Return the runs of a table without gaps."""
    return [(c, r, float(score)) for (c, r), score in np.ndenumerate(matrix)]


def test_a_contrast_by_hand():
    """Two levels of a 2 x 2 grid: difference of the level means, Welch-Satterthwaite over the four cells."""
    matrix = np.random.default_rng(1).normal(size=(4, 5)) * np.array([[1.0], [2.0], [0.5], [3.0]])
    residual = matrix - matrix.mean(1, keepdims=True) - matrix.mean(0) + matrix.mean()
    own = (residual**2).sum(1) / 3 / 5 / 4  # s2_c / n_c / 4, with d_c = 4 * 12 / 16 = 3
    df = own.sum() ** 2 / (own**2 / 3).sum()
    estimate = matrix[:2].mean() - matrix[2:].mean()
    p = 2 * student.sf(abs(estimate) / math.sqrt(own.sum()), df)

    found = effects(Scores(grid(2, 2), runs(matrix)))[0]

    half = student.ppf(0.975, df) * math.sqrt(own.sum())
    assert (found.name, found.levels, found.n, found.basis) == ("a", (0, 1), 20, "grid")
    assert found.estimate == pytest.approx(estimate)
    assert found.p == pytest.approx(p)
    assert found.interval == pytest.approx((estimate - half, estimate + half))


def test_holm_by_hand():
    """Sorted p times what is left to test, never falling; what is not estimable does not count."""
    made = [
        Effect("a", (0, k), 1.0, (0.0, 2.0), p, p, "not resolved", 1, "grid")
        for k, p in enumerate([0.01, 0.04, 0.02, math.nan, 0.5])
    ]

    found = holm(made)

    assert [effect.holm for effect in found] == pytest.approx([0.04, 0.08, 0.06, math.nan, 0.5], nan_ok=True)
    assert [effect.grade for effect in found] == [
        "supported",
        "suggestive",
        "suggestive",
        "not resolved",
        "not resolved",
    ]


def test_shifting_scaling_and_permuting():
    """A constant changes nothing, doubling doubles the estimate, the order of the runs does not matter."""
    matrix = np.random.default_rng(2).normal(size=(12, 3))
    rows = runs(matrix)

    base = effects(Scores(grid(3, 4), rows))
    moved = effects(Scores(grid(3, 4), [(c, r, s + 7) for c, r, s in rows]))
    doubled = effects(Scores(grid(3, 4), [(c, r, 2 * s) for c, r, s in reversed(rows)]))

    for one, two, three in zip(base, moved, doubled, strict=True):
        assert two.estimate == pytest.approx(one.estimate)
        assert three.estimate == pytest.approx(2 * one.estimate)
        assert one.p == pytest.approx(two.p) == pytest.approx(three.p)


def test_empty_cells_are_predicted_from_levels_and_pairs():
    """Without noise and without a three-way interaction the estimate over the whole grid is exact."""
    configurations = grid(3, 3, 3)
    truth = {tuple(c.values()): c["a"] + 2.0 * c["a"] * c["b"] - c["c"] ** 2 for c in configurations}
    ran = [c for row, c in enumerate(configurations) if row not in {0, 13, 26}]
    jitter = np.random.default_rng(3).normal(0, 1e-6, (len(ran), 3))

    found = effects(Scores(ran, runs(np.array([[truth[tuple(c.values())]] * 3 for c in ran]) + jitter)))

    assert {effect.basis for effect in found} == {"imputed"}
    expected = np.mean([v for k, v in truth.items() if k[0] == 0]) - np.mean([v for k, v in truth.items() if k[0] == 1])
    assert found[0].levels == (0, 1)
    assert found[0].estimate == pytest.approx(expected, abs=1e-4)


def test_a_random_search_falls_back_to_levels_only():
    """A continuous hyperparameter is left out, a discrete one is compared with the scatter between configurations."""
    rng = np.random.default_rng(4)
    configurations = [{"lr": float(rng.random()), "opt": "ab"[k % 2]} for k in range(40)]
    matrix = np.array([[0.5 * (c["opt"] == "a") + rng.normal(0, 0.1)] * 3 for c in configurations])

    (found,) = effects(Scores(configurations, runs(matrix + rng.normal(0, 1e-4, matrix.shape))))

    assert (found.name, found.levels, found.basis, found.grade) == ("opt", ("a", "b"), "additive", "supported")
    assert found.estimate == pytest.approx(0.5, abs=0.1)
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 2.02 * 0.1 * math.sqrt(2 / 20), rel=0.35)


def test_what_is_not_estimable_is_refused():
    """Two hyperparameters that always change together cannot be told apart."""
    configurations = [{"a": k % 3, "b": (k % 3) * 10, "c": k % 2} for k in range(6)]

    found = effects(Scores(configurations, runs(np.random.default_rng(5).normal(size=(6, 3)))))

    refused = [effect for effect in found if effect.basis == "none"]
    assert {effect.name for effect in refused} == {"a", "b"}
    assert all(math.isnan(effect.estimate) and effect.grade == "not resolved" for effect in refused)
    assert {effect.basis for effect in found if effect.name == "c"} == {"additive"}


def test_one_replicate_uses_the_residual_of_pairs():
    """A 4 x 4 x 3 grid with one seed: an effect far above the residual is supported, a null one is not."""
    rng = np.random.default_rng(6)
    configurations = grid(4, 4, 3)

    found = effects(Scores(configurations, [(k, 0, c["a"] + rng.normal(0, 0.1)) for k, c in enumerate(configurations)]))

    assert {effect.grade for effect in found if effect.name == "a"} == {"supported"}
    assert "supported" not in {effect.grade for effect in found if effect.name != "a"}


def test_one_run_of_one_factor_tells_nothing():
    """Without replicates and without a residual every comparison is refused."""
    found = effects(Scores(grid(3), [(k, 0, float(k)) for k in range(3)]))

    assert [effect.basis for effect in found] == ["none"] * 3


def test_inactive_configurations_do_not_count():
    """A hyperparameter is compared among the configurations in which it is active."""
    configurations = [{"opt": "adam"}] * 0 + [{"opt": "sgd", "momentum": m} for m in (0.5, 0.9)] + [{"opt": "adam"}]
    matrix = np.array([[0.5], [0.7], [0.9]]) + np.random.default_rng(7).normal(0, 1e-3, (3, 5))

    found = {effect.name: effect for effect in effects(Scores(configurations, runs(matrix)))}

    assert found["momentum"].estimate == pytest.approx(-0.2, abs=0.01)
    assert found["momentum"].n == 10


def test_the_items_of_the_evaluation_set_are_noise_too():
    """Two levels that differ on 100 items by luck: seeds alone support it, the items do not."""
    rng = np.random.default_rng(8)
    configurations = grid(2, 3)
    luck = rng.random((6, 100)) < 0.8
    items = [luck[c] for c in range(6) for _ in range(4)]
    values = [(c, r, float(luck[c].mean() + rng.normal(0, 1e-4))) for c in range(6) for r in range(4)]

    seeds_only = effects(Scores(configurations, values))[0]
    with_items = effects(Scores(configurations, values, items=items))[0]
    with_number = effects(Scores(configurations, values, n_items=100))[0]

    assert seeds_only.grade == "supported"
    assert "supported" not in {with_items.grade, with_number.grade}
    difference = luck[:3].mean(0) - luck[3:].mean(0)
    expected = 2 * 1.96 * math.sqrt(difference.var(ddof=1) / 100)
    assert with_items.interval[1] - with_items.interval[0] == pytest.approx(expected, rel=0.01)
