"""What may be said about the leader: resolved, leading or cannot tell, with the reason (step S8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from hpc_sweep.analysis.naming import counted

if TYPE_CHECKING:
    from hpc_sweep.analysis.model import Model
    from hpc_sweep.analysis.ties import Ties

Verdict = Literal["resolved", "leading", "cannot_tell"]

FEWEST_DF = 8


def decide(model: Model, ties: Ties) -> tuple[Verdict, str]:
    """Return the verdict and the sentence that says why.

    ::

        one replicate for most, D < 8, evaluation noise unknown and n < 1,000    cannot_tell
        tie set = {L} and Hsu's set = {L} and L ran with every replicate         resolved
        otherwise                                                                leading (not resolved)
    """
    unknown = _why_unknown(model)
    if unknown:
        return "cannot_tell", unknown
    tied = _why_tied(model, ties)
    if tied:
        return "leading", tied
    return "resolved", "Every other configuration is worse than the leader, with the factorial model and without it."


def _why_unknown(model: Model) -> str:
    """Return why nothing can be told about differences, or an empty string."""
    if len(model.members) == 1:
        return "Only one configuration has a usable outcome: there is nothing to compare it with."
    if np.mean(model.runs == 1) > 0.5:  # noqa: PLR2004 - most of them
        return "Most configurations ran with one replicate, so noise cannot be told from effects."
    df = model.fit.total_df
    if df < FEWEST_DF:
        return f"The noise between replicates is known from {df:.0f} degrees of freedom only; {FEWEST_DF} are needed."
    if model.items.too_small:
        size = model.items.size
        return f"The evaluation set has {size} items and their outcomes were not stored, so its noise is not known."
    return ""


def _why_tied(model: Model, ties: Ties) -> str:
    """Return why the leader is not resolved, or an empty string."""
    if len(ties.likely) > 1:
        return f"{counted(len(ties.likely) - 1, 'other configuration')} cannot be told from the leader."
    rivals = set(ties.compared.tolist()) - {model.leader.index}
    if rivals or not len(ties.compared):
        return (
            f"{counted(len(rivals), 'other configuration')} cannot be told from the leader without the factorial model."
        )
    ran, complete = int(model.runs[model.leader.index]), int(model.runs.max())
    if ran < complete:
        return f"The leader ran with {ran} of {complete} replicates only."
    return ""
