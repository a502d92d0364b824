"""What a decision rests on, as JSON: noise, ties, what was left out, and what would tell more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.importance import importance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpc_sweep.analysis.standing import Standing


def proof(stand: Standing) -> dict[str, Any]:
    """Return the evidence behind the verdict; numbers that are not known are None."""
    judgement, rows = stand.judgement, stand.scoring.observations
    return {
        "reason": stand.verdict[1],
        "pick_rule": judgement.rule,
        "expected_loss": judgement.expected_loss,
        "observed": stand.pick.observed,
        "standard_error": stand.pick.standard_error,
        "held_out": stand.value(judgement.held_out),
        "cavity_z": _finite(judgement.cavity_z),
        "stands_out": judgement.stands_out,
        "replicates_needed": judgement.replicates_needed,
        "noise": _noise(stand),
        "tied": len(judgement.tie_set),
        "short_list": _configurations(stand, judgement.short_list),
        "mcb": len(judgement.mcb),
        "collapsed": _configurations(stand, judgement.collapsed),
        "copies": [[rows[kept].trial.number, rows[dropped].trial.number] for kept, dropped in judgement.copies],
        "twins": [[stand.scoring.configurations[index].trials for index in group] for group in judgement.twins],
        "importance": [vars(share) for share in importance(stand.scoring.scores)],
    }


def _noise(stand: Standing) -> dict[str, Any]:
    judgement = stand.judgement
    return {
        "sd": _finite(judgement.sd),
        "df": judgement.df,
        "paired": judgement.paired,
        "rerun_sd": _finite(judgement.rerun_sd),
        "rerun_df": judgement.rerun_df,
        "evaluation": judgement.evaluation,
        "examples": stand.scoring.scores.n_items,
    }


def _configurations(stand: Standing, indices: Iterable[int]) -> list[dict[str, Any]]:
    return [dict(stand.scoring.configurations[index].params) for index in indices]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
