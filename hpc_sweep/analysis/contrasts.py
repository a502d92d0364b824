"""Marginal means of the levels of a hyperparameter, as weights of the configurations that ran.

::

    basis        when                                       mean of a level
    grid         every combination ran                      average of its configurations
    imputed      some are empty, levels and pairs tell them average over the whole grid, empty ones predicted
    additive     too many are empty (random search)         its coefficient in a model of levels only
    none         not even that is estimable                 refused
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc_sweep.analysis.factorial import Factorial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.analysis.factorial import Columns
    from hpc_sweep.analysis.scores import Array, Integers, Mask

MOST_EMPTY = 1.0  # empty combinations that may be predicted, per configuration that ran
TINY = 1e-8


@dataclass(frozen=True)
class Marginals:
    """Means of the levels of one hyperparameter: ``weights @ means`` up to a constant common to all levels.

    ``weights`` ``[levels, N]``; ``estimable`` ``[levels]``; ``basis`` as in the module's table. ``members`` ``[N]``:
    the places of the configurations in which the hyperparameter is active, among those that were given.
    """

    name: str
    levels: tuple[Any, ...]
    codes: Integers
    weights: Array
    estimable: Mask
    basis: str
    members: Integers
    model: Columns

    def residual(self, means: Array) -> tuple[float, float]:
        """Return (variance, df) of what the model of levels only leaves of the members' ``means`` ``[N]``."""
        return _residual(means, self.model)


def marginals(configurations: Sequence[Mapping[str, Any]]) -> list[Marginals]:
    """Return the marginal means of every hyperparameter that is not continuous, where it is active."""
    names = {name: None for configuration in configurations for name in configuration}
    found = []
    for name in names:
        active = np.array([place for place, configuration in enumerate(configurations) if name in configuration])
        factorial = Factorial.of([configurations[place] for place in active])
        if name in factorial.names and not factorial.continuous(factorial.names.index(name)):
            found.append(_of(name, factorial, active))
    return found


def residual_variance(means: Array, factorial: Factorial) -> tuple[float, float]:
    """Return (variance, df) of what levels and pairs of levels leave of single runs, ``means`` ``[N]``.

    Levels alone where pairs leave nothing over; (nan, 0) where levels do not either.
    """
    both = _residual(means, factorial.columns())
    return both if both[1] > 0 else _residual(means, factorial.columns(pairs=False))


def _residual(means: Array, columns: Columns) -> tuple[float, float]:
    df = float(len(means) - columns.rank())
    if df <= 0 or not len(columns.orders):  # a model without any effect leaves everything, not noise
        return math.nan, 0.0
    left = means - _Regression(columns).fitted(means)
    return float(left @ left) / df, df


def _of(name: str, factorial: Factorial, members: Integers) -> Marginals:
    place = factorial.names.index(name)
    size = math.prod(len(levels) for levels in factorial.levels)
    count, ran = len(factorial.levels[place]), len(factorial.codes)
    codes, estimable = factorial.codes[:, place], np.ones(count, dtype=bool)
    few = _few(factorial)
    basis, weights = "grid", (codes[None, :] == np.arange(count)[:, None]).astype(float)
    weights /= weights.sum(axis=1, keepdims=True)
    if ran < size:
        imputed = _imputed(factorial, place, size) if size - ran <= MOST_EMPTY * ran else None
        basis, weights = ("imputed", imputed) if imputed is not None else ("additive", weights)
    if basis == "additive":
        weights, estimable = _additive(codes, count, few)
    return Marginals(name, factorial.levels[place], codes, weights, estimable, basis, members, few)


def _few(factorial: Factorial) -> Columns:
    """Return the columns of the levels of all hyperparameters but the continuous ones."""
    kept = [k for k in range(len(factorial.names)) if not factorial.continuous(k)]
    names, levels = tuple(factorial.names[k] for k in kept), tuple(factorial.levels[k] for k in kept)
    return Factorial(names, levels, factorial.codes[:, kept]).columns(pairs=False)


def _imputed(factorial: Factorial, place: int, size: int) -> Array | None:
    """Return the weights of level means over the whole grid, empty cells predicted by levels and pairs of levels."""
    ran = {tuple(row) for row in factorial.codes.tolist()}
    grid = product(*(range(len(levels)) for levels in factorial.levels))
    empty = np.array([row for row in grid if row not in ran], dtype=np.intp)
    count = len(factorial.codes)
    whole = Factorial(factorial.names, factorial.levels, np.vstack([factorial.codes, empty])).columns()
    regression = _Regression(whole.rows(slice(0, count)))
    predictors = whole.rows(slice(count, size)).dense()
    if not regression.estimable(predictors).all():
        return None
    level = np.arange(len(factorial.levels[place]))[:, None]
    share = len(level) / size
    weights = (factorial.codes[:, place][None, :] == level) * share
    missing = (empty[:, place][None, :] == level) * share
    return np.asarray(weights + regression.weights(missing @ predictors), dtype=float)


def _additive(codes: Integers, count: int, columns: Columns) -> tuple[Array, Mask]:
    """Return the weights of the coefficients of the levels in a model of levels only, and which are estimable."""
    slots = [column for column in columns.index.T if _same(column, codes)]
    if not slots:
        return np.zeros((count, len(codes))), np.zeros(count, dtype=bool)
    wanted = np.zeros((count, len(columns.orders) + 1))
    wanted[codes, 1 + slots[0]] = 1
    wanted -= wanted[:1].copy()  # only differences between levels are estimable
    regression = _Regression(columns)
    return regression.weights(wanted), regression.estimable(wanted)


def _same(column: Integers, codes: Integers) -> bool:
    return bool(np.all(column - column.min() == codes))


class _Regression:
    """Least squares on a constant and the columns of Z, of any rank, through the p x p normal equations."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._gram = columns.normal_matrix()
        self._pseudo = np.linalg.pinv(self._gram, rcond=1e-10, hermitian=True)

    def estimable(self, rows: Array) -> Mask:
        """Return which rows of parameters ``[k, p + 1]`` the data determine."""
        seen = rows @ self._pseudo @ self._gram
        return np.asarray(np.abs(seen - rows).max(axis=1) < TINY * len(self._gram), dtype=bool)

    def weights(self, rows: Array) -> Array:
        """Return the weights ``[k, N]`` that make the estimates of rows of parameters ``[k, p + 1]`` from means."""
        parameters = rows @ self._pseudo
        return np.array([row[0] + self._columns.times(row[1:]) for row in parameters])

    def fitted(self, means: Array) -> Array:
        """Return the fitted means, ``[N]``."""
        right = np.concatenate([[means.sum()], self._columns.transposed_times(means)])
        parameters = self._pseudo @ right
        return np.asarray(parameters[0] + self._columns.times(parameters[1:]), dtype=float)
