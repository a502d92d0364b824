"""The factorial structure of a sweep: which configurations share a level, and which share a pair of levels.

::

    configuration   dropout  lr      columns of Z (one per level, one per pair of levels that occurs)
    0               .3       .001    dropout=.3   lr=.001   dropout=.3,lr=.001
    1               .5       .001    dropout=.5   lr=.001   dropout=.5,lr=.001
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc_sweep.analysis.distributions import ranks
from hpc_sweep.records import canonical
from hpc_sweep.space import is_number

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from hpc_sweep.analysis.scores import Array, Integers

MOST_COLUMNS = 1_000  # of Z where it replaces an N x N matrix; the widest pairs are left to the residual beyond this
MOST_LEVELS = 20  # of a hyperparameter whose levels are taken one by one; above, it is continuous
CLASSES = (6, 10)  # into which a continuous hyperparameter is divided: at least, at most (in between N^(1/3))
FEWEST_IN_CLASS = 6
ABSENT = object()  # the level of a hyperparameter that is not active in a configuration


@dataclass(frozen=True)
class Factorial:
    """The swept hyperparameters with at least two levels, coded.

    ``names``: the q hyperparameters; ``levels``: for each its levels in order of appearance (``ABSENT`` where it is
    not active); ``codes`` ``[N, q]``: the level of each configuration.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[Any, ...], ...]
    codes: Integers

    @classmethod
    def of(cls, configurations: Sequence[Mapping[str, Any]]) -> Factorial:
        """Code the configurations; hyperparameters with one level are left out."""
        names = {name: None for configuration in configurations for name in configuration}
        found = {name: _code([c.get(name, ABSENT) for c in configurations]) for name in names}
        varied = {name: coded for name, coded in found.items() if len(coded[0]) > 1}
        codes = [coded[1] for coded in varied.values()] or [np.zeros((len(configurations), 0), dtype=np.intp)]
        return cls(tuple(varied), tuple(tuple(coded[0]) for coded in varied.values()), np.column_stack(codes))

    def continuous(self, place: int) -> bool:
        """Tell whether a hyperparameter has too many levels, or no level twice though others vary, too."""
        count = len(self.levels[place])
        return count > MOST_LEVELS or (len(self.names) > 1 and count == len(self.codes))

    def grouped(self) -> Factorial:
        """Return the factorial with every continuous number divided into classes of about equal size.

        In a random search no two configurations share a level, and so none would learn from its neighbours: with N = 60
        to 200, R = 3 the interval then covers 78 to 92 %, with six classes 95 to 98 %. The classes follow the order of
        the values, so a logarithm changes nothing.
        """
        codes, levels = self.codes.copy(), list(self.levels)
        for place, found in enumerate(self.levels):
            present = [level for level in found if level is not ABSENT]
            if self.continuous(place) and all(map(is_number, present)):
                classes = self._classes(place)
                levels[place], codes[:, place] = tuple(range(int(classes.max()) + 1)), classes
        return Factorial(self.names, tuple(levels), codes)

    def _classes(self, place: int) -> Integers:
        """Return the class of every configuration, the inactive ones in a class of their own."""
        values = np.array([math.nan if level is ABSENT else float(level) for level in self.levels[place]])
        own = values[self.codes[:, place]]
        active = np.isfinite(own)
        size = int(active.sum())
        count = max(2, min(max(CLASSES[0], min(CLASSES[1], round(size ** (1 / 3)))), size // FEWEST_IN_CLASS))
        middle = (ranks(own[active]) - 0.5) / size  # ties get one rank, hence one class
        classes = np.zeros(len(own), dtype=np.intp)
        classes[active] = np.floor(middle * count).astype(np.intp) + int(size < len(own))
        return _dense(classes)

    def columns(self, most: int = MOST_COLUMNS, *, pairs: bool = True) -> Columns:
        """Return the columns of Z; terms in which every configuration is alone are counted instead.

        At most ``most`` columns are used: the pairs with the most combinations are left out first, then the
        hyperparameters with the most levels; what is left out counts as alone.
        """
        mains = list(self.codes.T)
        both = [_dense(left * (right.max() + 1) + right) for left, right in combinations(mains, 2)] if pairs else []
        chosen: list[Integers] = []
        orders: list[int] = []
        alone = [0, 0]
        for order, terms in ((1, mains), (2, both)):
            for term in sorted(terms, key=lambda term: int(term.max())):
                width = int(term.max()) + 1
                if width == len(term) or len(orders) + width > most:
                    alone[order - 1] += 1
                    continue
                chosen.append(term + len(orders))
                orders += [order] * width
        index = np.column_stack(chosen) if chosen else np.zeros((len(self.codes), 0), dtype=np.intp)
        return Columns(index, np.array(orders, dtype=np.intp), (alone[0], alone[1]))


@dataclass(frozen=True)
class Columns:
    """Z of a factorial as the places of its ones.

    ``index`` ``[N, s]``: the s columns in which a configuration has a one; ``orders`` ``[p]``: 1 for the column of a
    level, 2 for the column of a pair of levels; ``alone``: how many levels and pairs of levels each configuration
    shares with no other (unique terms of a random search, the only pair of a two-factor grid).
    """

    index: Integers
    orders: Integers
    alone: tuple[int, int]

    def rows(self, part: slice) -> Columns:
        """Return the same columns for some of the configurations."""
        return replace(self, index=self.index[part])

    def dense(self) -> Array:
        """Return the matrix of a constant and the columns, ``[N, p + 1]``."""
        matrix = np.zeros((len(self.index), len(self.orders) + 1))
        matrix[:, 0] = 1
        matrix[np.arange(len(matrix))[:, None], 1 + self.index] = 1
        return matrix

    def shared(self) -> Columns:
        """Return the same columns without the terms that would be confounded with the noise of single runs."""
        return replace(self, alone=(0, 0))

    def rank(self) -> int:
        """Return the number of independent parameters of the model with a constant and these columns."""
        if not len(self.orders):
            return 1
        return int(np.linalg.matrix_rank(self.normal_matrix(), hermitian=True))

    def normal_matrix(self) -> Array:
        """Return X'X of X = a constant and the columns, ``[p + 1, p + 1]``."""
        ones = np.ones(len(self.index))
        sums = self.transposed_times(ones)
        return np.block([[np.array([[ones.sum()]]), sums[None, :]], [sums[:, None], self.gram(ones)]])

    def kernels(self) -> tuple[Array, Array]:
        """Return (K1, K2), ``[N, N]``: how many levels, and how many pairs of levels, two configurations share.

        K1 = sum_k Z_k Z_k', K2 = sum_{j<k} (Z_j Z_j') o (Z_k Z_k'), o being elementwise.
        """
        size = len(self.index)
        shared = (np.eye(size) * self.alone[0], np.eye(size) * self.alone[1])
        for column in self.index.T:
            shared[self.orders[column[0]] - 1][...] += column[:, None] == column[None, :]
        return shared

    @cached_property
    def _blocks(self) -> list[tuple[slice, slice, Integers]]:
        """Where each pair of terms lies in Z'Z, and the place of every configuration in that block."""
        spans = [(int(column.min()), int(column.max()) + 1) for column in self.index.T]
        found = []
        for (start, stop), left in zip(spans, self.index.T, strict=True):
            for (other, end), right in zip(spans, self.index.T, strict=True):
                if other <= start:
                    places = (left - start) * (end - other) + (right - other)
                    found.append((slice(start, stop), slice(other, end), places))
        return found

    def gram(self, weights: Array) -> Array:
        """Return Z' diag(weights) Z, ``[p, p]``."""
        if np.ptp(weights) == 0:
            return np.asarray(self._unit_gram * weights[0], dtype=float)
        return self._gram(weights)

    @cached_property
    def _unit_gram(self) -> Array:
        return self._gram(np.ones(len(self.index)))

    def _gram(self, weights: Array) -> Array:
        total = np.zeros((len(self.orders), len(self.orders)))
        for rows, columns, places in self._blocks:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            total[rows, columns] = np.bincount(places, weights, shape[0] * shape[1]).reshape(shape)
        return total + np.tril(total, -1).T

    def times(self, coefficients: Array) -> Array:
        """Return Z b, ``[N]``."""
        return np.asarray(coefficients[self.index].sum(axis=1), dtype=float)

    def transposed_times(self, values: Array) -> Array:
        """Return Z' y, ``[p]``."""
        width = len(self.orders)
        total = np.zeros(width)
        for column in self.index.T:
            total += np.bincount(column, values, width)
        return total

    def quadratic(self, matrix: Array) -> Array:
        """Return the diagonal of Z M Z' for a symmetric M ``[p, p]``, ``[N]``."""
        total = np.zeros(len(self.index))
        for place, left in enumerate(self.index.T):
            total += matrix[left, left]
            for right in self.index.T[:place]:
                total += 2 * matrix[left, right]
        return total


def _code(values: Sequence[Any]) -> tuple[list[Any], Integers]:
    """Return the distinct values in order of appearance, and the place of each value among them."""
    places: dict[Hashable, int] = {}
    levels: list[Any] = []
    codes = np.empty(len(values), dtype=np.intp)
    for row, value in enumerate(values):
        key = _key(value)
        if key not in places:
            places[key] = len(levels)
            levels.append(value)
        codes[row] = places[key]
    return levels, codes


def _key(value: Any) -> Hashable:  # noqa: ANN401 - a level may be any JSON value
    """Return what tells levels apart: True is not 1, but 1 is 1.0; lists and mappings by their JSON."""
    if isinstance(value, (list, dict, tuple)):
        return ("json", canonical(value))
    return (isinstance(value, bool), value)


def _dense(codes: Integers) -> Integers:
    return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.intp)
