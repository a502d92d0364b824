"""The model of a sweep, built from its scores step by step (S0 to S6 of the decision procedure)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.analysis.align import Alignment, align
from hpc_sweep.analysis.factorial import Factorial
from hpc_sweep.analysis.items import EvaluationNoise, evaluation_noise
from hpc_sweep.analysis.leader import Leader, lead
from hpc_sweep.analysis.noise import Noise, estimate, residual, surviving
from hpc_sweep.analysis.posterior import Posterior, integrate
from hpc_sweep.analysis.scores import Cells, Scores, tabulate

if TYPE_CHECKING:
    from hpc_sweep.analysis.scores import Array, Integers


@dataclass(frozen=True)
class Model:
    """What S0 to S6 found.

    ``members`` ``[G]``: the configurations outside the collapsed tail, on which everything but ``cells`` and the
    ``rough`` alignment is built; ``posterior`` and ``leader`` count among them.
    """

    cells: Cells
    rough: Alignment
    fit: Alignment
    members: Integers
    items: EvaluationNoise
    noise: Noise
    posterior: Posterior
    leader: Leader

    @cached_property
    def leader_covariance(self) -> Array:
        """Covariance of every member's true score with the leader's, ``[G]``."""
        return self.posterior.covariance(self.leader.index)

    @property
    def means(self) -> Array:
        """Observed means of the members, ``[G]``."""
        return self.fit.mean[self.members]

    @property
    def runs(self) -> Integers:
        """Number of replicates of the members, ``[G]``."""
        return self.fit.runs[self.members]


def fit_model(scores: Scores) -> Model:
    """Return the model of the sweep's scores. Raises SweepError when no run has a finite score."""
    cells = tabulate(scores)
    rough = align(cells, cells.usable)
    keep = surviving(rough)
    fit = align(cells, keep)
    members = np.flatnonzero(keep)
    items = evaluation_noise(scores, cells, fit.mean, keep)
    factorial = Factorial.of([scores.configurations[index] for index in members.tolist()]).grouped()
    noise, posterior = _shrink(fit, members, estimate(fit, cells.rerun_noise(), items.comparative), factorial)
    leader = lead(posterior, fit.mean[members], fit, min(noise.nu, noise.df), items.common)
    return Model(cells, rough, fit, members, items, noise, posterior, leader)


def _shrink(fit: Alignment, members: Integers, noise: Noise | None, factorial: Factorial) -> tuple[Noise, Posterior]:
    """Return the noise and the posterior; where no replicate shows noise, the two-way model's residual is the noise."""
    means = fit.mean[members]
    if noise is not None:
        return noise, integrate(means, noise.variance[members], factorial)
    posterior = integrate(means, None, factorial)
    df = max(1.0, float(len(members) - factorial.columns().rank()))
    return residual(posterior.noise, members, len(fit.mean), df), posterior
