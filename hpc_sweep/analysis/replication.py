"""What more replicates would tell, and what the replicates tell without any model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpc_sweep.analysis.model import Model

POWER = 1.959963984540054 + 0.8416212335729143  # normal quantiles of a two-sided 5 % test with power 80 %


def replicates_needed(model: Model) -> int | None:
    """Return the replicates per configuration that separate the first two: 2 sd^2 (1.96 + .84)^2 / delta^2.

    ``sd`` is free of the shifts that replicates share. More replicates do not lessen the noise of the evaluation set,
    so its share is first taken off delta^2; None where nothing is left, or where nothing is known of the noise.
    """
    if len(model.members) == 1 or model.fit.total_df <= 0:
        return None
    mean = model.posterior.mean.copy()
    leader = model.leader.index
    mean[leader] = -math.inf
    second = int(np.argmax(mean))
    pair = model.members[[leader, second]]
    variance = float(np.maximum(model.noise.moderated[pair], model.noise.pooled).sum())
    gap = float(model.posterior.mean[leader] - mean[second])
    left = (gap / POWER) ** 2 - float(model.items.comparative[pair].sum())
    return max(2, math.ceil(variance / left)) if left > 0 else None


def held_out(model: Model) -> float | None:
    """Return the mean score of winners chosen without the replicate that scores them; None without shared replicates.

    For each replicate the configuration with the best mean over the others is scored by it. No model is needed, and the
    answer errs low, since one replicate fewer chooses worse.
    """
    cells, fit = model.cells, model.fit
    if not fit.paired:
        return None
    owner = cells.configuration
    usable = np.isfinite(fit.adjusted) & (fit.runs[owner] > 1)
    others = np.full(len(owner), -np.inf)
    runs = fit.runs[owner][usable]
    others[usable] = (runs * fit.mean[owner][usable] - fit.adjusted[usable]) / (runs - 1)
    chosen: dict[int, int] = {}
    for cell in np.flatnonzero(usable).tolist():
        label = int(cells.replicate[cell])
        if label not in chosen or others[cell] > others[chosen[label]]:
            chosen[label] = cell
    return float(np.mean(cells.score[list(chosen.values())])) if chosen else None
