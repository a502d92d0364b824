"""The factorial structure, its covariance, and the posterior of the true scores."""

import itertools

import numpy as np
import pytest
from scipy.linalg import block_diag

from hpc_sweep.analysis.covariance import DenseInverse, LowRankInverse, inverter
from hpc_sweep.analysis.factorial import Factorial
from hpc_sweep.analysis.posterior import integrate, predict


def grid(*sizes):
    """Return the configurations of a full grid."""
    return [dict(zip("abcdef", levels, strict=False)) for levels in itertools.product(*map(range, sizes))]


def indicators(configurations, name):
    """Return Z of one hyperparameter."""
    levels = [c[name] for c in configurations]
    return np.array([[float(level == other) for other in sorted(set(levels))] for level in levels])


def test_kernels_count_shared_levels_and_pairs():
    """K1 and K2 equal their definitions by indicator matrices."""
    configurations = grid(3, 4, 2)
    shared = {name: indicators(configurations, name) @ indicators(configurations, name).T for name in "abc"}

    one, two = Factorial.of(configurations).columns().kernels()

    assert one == pytest.approx(sum(shared.values()))
    assert two == pytest.approx(sum(shared[j] * shared[k] for j, k in itertools.combinations("abc", 2)))


def test_unique_terms_are_counted_not_stored():
    """The pair of a two-factor grid, and a continuous hyperparameter, share nothing and enter the diagonal."""
    configurations = [{**c, "x": 0.1 * row} for row, c in enumerate(grid(3, 4))]

    columns = Factorial.of(configurations).columns()

    assert len(columns.orders) == 3 + 4
    assert columns.alone == (1, 3)
    assert np.diag(columns.kernels()[0]) == pytest.approx(3.0)


def test_continuous_values_are_divided_into_classes_of_equal_size():
    """A random search of 60 gets six classes of ten, by order only; grids and names stay as they are."""
    x = np.random.default_rng(7).random(60)
    plain, logarithm = (
        Factorial.of([{"x": float(v), "a": k % 3, "name": f"n{k}"} for k, v in enumerate(values)]).grouped()
        for values in (x, np.exp(20 * x))
    )

    assert np.bincount(plain.codes[:, 0]).tolist() == [10] * 6
    assert plain.codes.tolist() == logarithm.codes.tolist()
    assert len(plain.levels[1]) == 3
    assert len(plain.levels[2]) == 60
    assert Factorial.of(grid(4, 5)).grouped().codes.tolist() == Factorial.of(grid(4, 5)).codes.tolist()


def test_an_inactive_continuous_hyperparameter_has_a_class_of_its_own():
    """Classes are made of the active values; the others stay together."""
    configurations = [{"opt": "sgd", "m": k / 30} for k in range(30)] + [{"opt": "adam"}] * 10

    codes = Factorial.of(configurations).grouped().codes[:, 1]

    assert set(codes[30:]) == {0}
    assert np.bincount(codes).tolist() == [10, 6, 6, 6, 6, 6]


def test_the_number_of_columns_is_bounded():
    """The pairs with the most combinations are left out first, and count as alone."""
    configurations = grid(5, 6, 7)

    columns = Factorial.of(configurations).columns(most=60)

    assert len(columns.orders) == 5 + 6 + 7 + 30
    assert columns.alone == (0, 2)


def test_inactive_hyperparameters_have_a_level_of_their_own():
    """A hyperparameter that is missing in some configurations is coded, not refused."""
    factorial = Factorial.of([{"opt": "sgd", "momentum": 0.9}, {"opt": "sgd", "momentum": 0.5}, {"opt": "adam"}])

    assert factorial.names == ("opt", "momentum")
    assert factorial.codes.tolist() == [[0, 0], [0, 1], [1, 2]]


def test_levels_may_be_any_json_value():
    """Lists are levels, True is not 1, and 1 is 1.0."""
    factorial = Factorial.of([{"a": [1, 2]}, {"a": [1, 2]}, {"a": True}, {"a": 1}, {"a": 1.0}, {"a": None}])

    assert factorial.codes[:, 0].tolist() == [0, 0, 1, 2, 2, 3]


@pytest.mark.parametrize("variances", [[0.7, 0.2], [0.7, 0.0], [0.0, 0.0]])
@pytest.mark.parametrize("drop", [0, 7])
def test_the_low_rank_inverse_equals_the_dense_one(drop, variances):
    """Woodbury's identity changes no number: determinant, products, diagonal; nor does a component that is 0."""
    rng = np.random.default_rng(1)
    columns = Factorial.of(grid(4, 3, 3)[drop:]).columns()
    size = len(columns.index)
    diagonal, values = rng.uniform(0.1, 1, size), rng.normal(size=size)

    dense = DenseInverse(np.stack(columns.kernels()), np.array(variances), diagonal)
    low = LowRankInverse(columns, np.array(variances), diagonal)

    assert low.log_determinant == pytest.approx(dense.log_determinant)
    assert low.times(values) == pytest.approx(dense.times(values))
    assert low.diagonal() == pytest.approx(dense.diagonal())


def test_many_configurations_never_make_a_square_matrix():
    """Above 1,000 configurations the low-rank form is used, whatever the number of columns."""
    assert isinstance(
        inverter(Factorial.of(grid(11, 10, 10)).columns())(np.ones(2), np.ones(1100)),
        LowRankInverse,
    )


def test_balanced_one_factor_case_by_hand():
    """One factor with known components is the textbook BLUP: every mean is drawn to the grand mean by v / (A + v)."""
    x, v, spread = np.array([1.0, 2.0, 4.0, 9.0]), 0.5, 1.5
    columns = Factorial.of(grid(4)).columns()
    weight = v / (spread + v)

    member = predict(x, np.full(4, v), inverter(columns)(np.array([1.0, 0.0]), np.full(4, 0.5 + v)))

    assert member.mean == pytest.approx(x.mean() + (1 - weight) * (x - x.mean()))
    assert member.variance() == pytest.approx(np.full(4, v * (1 - weight) + weight * v / 4))
    assert member.covariance(0)[1] == pytest.approx(weight * v / 4)


def test_the_integrated_shrinkage_is_james_stein_for_many_means():
    """With 400 exchangeable means the integrated factor is 1 - (N - 3) v / SS to two percent."""
    rng = np.random.default_rng(2)
    v = 1.0
    x = rng.normal(0, 1.2, 400) + rng.normal(0, np.sqrt(v), 400)
    expected = 1 - 397 * v / ((x - x.mean()) ** 2).sum()

    mean = integrate(x, np.full(400, v), Factorial.of(grid(400))).mean

    assert np.polyfit(x, mean, 1)[0] == pytest.approx(expected, abs=0.02)


def test_blup_equals_hendersons_equations():
    """The prediction for known components equals the solution of the mixed model equations."""
    rng = np.random.default_rng(3)
    configurations = grid(3, 4, 2)
    columns = Factorial.of(configurations).columns()
    x, v = rng.normal(size=24), rng.uniform(0.2, 1, 24)
    levels, pairs, rest = 0.8, 0.3, 0.1
    prior = np.where(columns.orders == 1, levels, pairs)
    design = np.hstack([columns.dense(), np.eye(24)])
    penalty = block_diag(0, np.diag(1 / prior), np.eye(24) / rest)
    inverse = np.linalg.inv(design.T @ (design / v[:, None]) + penalty)

    member = predict(x, v, inverter(columns)(np.array([levels, pairs]), rest + v))

    assert member.mean == pytest.approx(design @ inverse @ design.T @ (x / v))
    assert member.variance() == pytest.approx(np.diag(design @ inverse @ design.T))
    assert member.covariance(5) == pytest.approx((design @ inverse @ design.T)[5])


def test_restricted_likelihood_is_that_of_statsmodels():
    """At the optimum that statsmodels' MixedLM finds (0.15.0, REML) the likelihoods differ by the constant only."""
    configurations = grid(4, 5, 3)
    a, b, c = (np.array([configuration[name] for configuration in configurations]) for name in "abc")
    x = a + 0.5 * np.sin(3 * b) + 0.4 * np.sin(5 * a * b + 1) + 0.3 * np.sin(7 * a + 11 * b + 13 * c)
    found, scale, likelihood = np.array([0.48229741, 0.03866469]), 0.007384487229877689, -11.152327642601222
    invert = inverter(Factorial.of(configurations).columns())

    def at(components, rest):
        return predict(x, np.full(60, rest), invert(components, np.full(60, rest))).likelihood

    best = at(found, scale)

    assert best - 59 / 2 * np.log(2 * np.pi) == pytest.approx(likelihood, abs=1e-8)
    for factor in (0.99, 1.01):
        assert at(found * [factor, 1], scale) < best
        assert at(found * [1, factor], scale) < best
        assert at(found, scale * factor) < best


def test_relabelling_and_permuting_change_nothing():
    """Other names for levels, other order of configurations: the same posterior for the same configuration."""
    rng = np.random.default_rng(4)
    configurations = grid(4, 3, 2)
    x, v = rng.normal(size=24), rng.uniform(0.1, 0.3, 24)
    order = rng.permutation(24)
    renamed = [{"z": f"level {c['a']}", "y": -c["b"], "x": c["c"] * 1e-4} for c in configurations]

    base = integrate(x, v, Factorial.of(configurations))
    moved = integrate(x[order], v[order], Factorial.of([renamed[index] for index in order]))

    assert moved.mean == pytest.approx(base.mean[order])
    assert moved.variance == pytest.approx(base.variance[order])
    assert moved.covariance(0) == pytest.approx(base.covariance(order[0])[order])


def test_the_covariance_belongs_to_the_variance():
    """The entry of column i at i is the variance of i, components mixed."""
    rng = np.random.default_rng(5)

    posterior = integrate(rng.normal(size=18), np.full(18, 0.3), Factorial.of(grid(3, 3, 2)))

    assert [posterior.covariance(index)[index] for index in range(18)] == pytest.approx(posterior.variance.tolist())


def test_that_nothing_matters_is_one_of_the_possibilities():
    """Means that vary as noise alone would are drawn together by 85 %; were K = 0 left out, by 81 %."""
    rng = np.random.default_rng(7)
    factorial = Factorial.of(grid(3, 3, 2))
    slopes = []
    for _ in range(20):
        x = rng.normal(size=18)
        x = (x - x.mean()) / x.std(ddof=1)
        slopes.append(np.polyfit(x, integrate(x, np.ones(18), factorial).mean, 1)[0])

    assert np.mean(slopes) < 0.17


def test_one_replicate_takes_the_residual_for_noise():
    """Additive scores plus noise: the mean is drawn to the additive fit, and the noise is about its variance."""
    rng = np.random.default_rng(6)
    configurations = grid(5, 5, 4)
    truth = np.array([c["a"] + 0.5 * c["b"] for c in configurations], dtype=float)
    x = truth + rng.normal(0, 0.5, 100)

    posterior = integrate(x, None, Factorial.of(configurations))

    assert np.mean((posterior.mean - truth) ** 2) < 0.5 * np.mean((x - truth) ** 2)
    assert np.sqrt(posterior.noise.mean()) == pytest.approx(0.5, rel=0.35)


def test_equal_means_without_noise_are_left_as_they_are():
    """Nothing varies: the posterior is the data, without an error."""
    posterior = integrate(np.full(6, 0.8), np.zeros(6), Factorial.of(grid(3, 2)))

    assert posterior.mean.tolist() == [0.8] * 6
    assert posterior.variance.tolist() == [0.0] * 6
    assert posterior.covariance(0).tolist() == [0.0] * 6
