"""The inverse of S = a1^2 K1 + a2^2 K2 + diag(e), dense for few configurations and by Woodbury's identity for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpc_sweep.analysis.factorial import Columns
    from hpc_sweep.analysis.scores import Array

# Up to this number a dense inverse is the faster one, and up to the second it fits in memory many times over.
SMALL, MOST_DENSE = 200, 1_000


class Inverse(Protocol):
    """The inverse of one covariance matrix S, ``[N, N]``, which need not exist as a matrix."""

    log_determinant: float

    def times(self, values: Array) -> Array:
        """Return S^-1 y, ``[N]``."""

    def diagonal(self) -> Array:
        """Return the diagonal of S^-1, ``[N]``."""


def inverter(columns: Columns) -> Callable[[Array, Array], Inverse]:
    """Return the function that inverts S, given (a1^2, a2^2) and the diagonal e ``[N]``, for one factorial."""
    size, width = len(columns.index), len(columns.orders)
    if size <= SMALL or (size <= MOST_DENSE and width >= size):
        kernels = np.stack(columns.kernels())
        return lambda variances, diagonal: DenseInverse(kernels, variances, diagonal)
    return lambda variances, diagonal: LowRankInverse(columns, variances, diagonal)


class DenseInverse:
    """S^-1 as a matrix, by Cholesky."""

    def __init__(self, kernels: Array, variances: Array, diagonal: Array) -> None:
        matrix = variances[0] * kernels[0] + variances[1] * kernels[1]
        matrix.flat[:: len(matrix) + 1] += diagonal
        factor, failed = lapack.dpotrf(matrix, lower=1, clean=1)
        assert not failed, "S is positive definite: its diagonal part is"
        self.log_determinant = 2 * float(np.log(factor.diagonal()).sum())
        lower, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
        self._inverse = lower + lower.T
        self._inverse.flat[:: len(matrix) + 1] /= 2

    def times(self, values: Array) -> Array:
        """Return S^-1 y, ``[N]``."""
        return np.asarray(self._inverse @ values, dtype=float)

    def diagonal(self) -> Array:
        """Return the diagonal of S^-1, ``[N]``."""
        return np.asarray(self._inverse.diagonal(), dtype=float)


class LowRankInverse:
    """S^-1 = W - W Z A C^-1 A Z' W with W = diag(1/E) and C = I + A Z' W Z A, ``[p, p]`` (Woodbury).

    A holds a1 for the column of a level and a2 for the column of a pair, either of which may be 0; E = e + what the
    terms that no other configuration shares add to the diagonal. Needs memory for N s + p^2 numbers, never N^2.
    """

    def __init__(self, columns: Columns, variances: Array, diagonal: Array) -> None:
        self._columns = columns
        spread = diagonal + variances @ np.array(columns.alone, dtype=float)
        self._weights = 1 / spread
        self._sizes = np.sqrt(variances[columns.orders - 1])
        core = columns.gram(self._weights) * np.multiply.outer(self._sizes, self._sizes)
        core.flat[:: len(core) + 1] += 1
        self._core = cho_factor(core, lower=True, overwrite_a=True, check_finite=False)
        halves = np.log(np.diag(self._core[0])).sum()
        self.log_determinant = float(np.log(spread).sum() + 2 * halves)

    def times(self, values: Array) -> Array:
        """Return S^-1 y, ``[N]``."""
        weighted = self._weights * values
        right = self._sizes * self._columns.transposed_times(weighted)
        inner = self._sizes * cho_solve(self._core, right, check_finite=False)
        return np.asarray(weighted - self._weights * self._columns.times(inner), dtype=float)

    def diagonal(self) -> Array:
        """Return the diagonal of S^-1, ``[N]``."""
        inner = cho_solve(self._core, np.diag(self._sizes), check_finite=False) * self._sizes[:, None]
        return np.asarray(self._weights - self._weights**2 * self._columns.quadratic(inner), dtype=float)
