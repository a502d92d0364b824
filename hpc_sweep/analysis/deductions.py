"""Sentences about a sweep, each from a test, with its numbers and n, graded by how well the data support it.

::

    supported       main effects and interactions: p < .05 after Holm's correction for all of them; else p < .01
    suggestive      p < .05, not corrected
    not resolved    everything else: the data cannot tell
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.effects import Effect, effects
from hpc_sweep.analysis.interactions import Interaction, interactions
from hpc_sweep.analysis.learning import observations_of_learning
from hpc_sweep.analysis.stability import stability
from hpc_sweep.analysis.table import level_text
from hpc_sweep.analysis.testing import Deduction, probability
from hpc_sweep.records import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpc_sweep.analysis.standing import Standing
    from hpc_sweep.analysis.table import Evidence

__all__ = ["Deduction", "deductions"]

_BASIS = {
    "grid": "averaged over the grid that ran",
    "imputed": "averaged over the grid, its empty cells predicted from levels and pairs of levels",
    "additive": "in a model of levels only, since too much of the grid did not run",
}
_REGULARISERS = frozenset(
    {"dropout", "l2", "weight_decay", "wd", "label_smoothing", "mixup", "mixup_alpha", "drop_path"}
)
_ORDER = {"supported": 0, "suggestive": 1, "not resolved": 2}


def deductions(evidence: Evidence, stand: Standing) -> tuple[Deduction, ...]:
    """Return what the sweep shows about its hyperparameters and its training, the best supported first."""
    told = [*_of_levels(evidence, stand), *observations_of_learning(evidence), *stability(evidence)]
    return tuple(sorted(told, key=lambda one: _ORDER[one.grade]))


def _of_levels(evidence: Evidence, stand: Standing) -> Iterable[Deduction]:
    """Tell what levels do to the score; where no noise can be seen, nothing can be held against it."""
    if stand.silent:
        text = f"{stand.verdict[1]} So no difference between levels can be tested."
        return [Deduction(text, "not resolved", {"test": "main effect", "sd": stand.judgement.sd})]
    found = effects(stand.scoring.scores)
    return [
        *_main_effects(found, evidence),
        *_interactions(interactions(stand.scoring.scores), evidence),
        *_balance(evidence, found),
    ]


def _main_effects(found: Sequence[Effect], evidence: Evidence) -> Iterable[Deduction]:
    """Tell for each hyperparameter the pair of levels that differs most clearly, and how many pairs do."""
    names = {effect.name: None for effect in found}
    for name in names:
        pairs = [effect for effect in found if effect.name == name]
        tested = [effect for effect in pairs if not math.isnan(effect.p)]
        if not tested:
            text = f"{name}: the grid that ran cannot tell its levels apart from other hyperparameters."
            yield Deduction(text, "not resolved", {"test": "main effect", "name": name, "pairs": len(pairs)})
            continue
        clearest = _upward(min(tested, key=lambda effect: (effect.p, -abs(effect.estimate))))
        supported = sum(effect.grade == "supported" for effect in pairs)
        numbers = {
            "test": "main effect",
            "pairs": len(pairs),
            "pairs_supported": supported,
            **_numbers(clearest, evidence),
        }
        yield Deduction(_sentence(clearest, evidence, pairs, supported), clearest.grade, numbers)


def _upward(effect: Effect) -> Effect:
    """Return the effect the way round in which its estimate is no loss."""
    if effect.estimate >= 0:
        return effect
    low, high = effect.interval
    return replace(effect, levels=effect.levels[::-1], estimate=-effect.estimate, interval=(-high, -low))


def _sentence(effect: Effect, evidence: Evidence, pairs: Sequence[Effect], supported: int) -> str:
    better, worse = (f"{effect.name}={level_text(level)}" for level in effect.levels)
    amount = (
        f"by {effect.estimate:.4g} {evidence.objective.metric} (95 % interval {effect.interval[0]:.4g} to "
        f"{effect.interval[1]:.4g}, {probability(effect.p)}, {probability(effect.holm)} after Holm, n = {effect.n} "
        f"trials at the two levels, {_BASIS[effect.basis]})"
    )
    of_all = f" {supported} of {len(pairs)} pairs of its levels differ." if len(pairs) > 1 else ""
    if effect.grade == "not resolved":
        clearest = f"the clearest, {better} before {worse}, is {amount[3:]}"
        return f"{effect.name}: no difference between its levels is resolved; {clearest}."
    return f"{better} is better than {worse} {amount}.{of_all}"


def _numbers(effect: Effect, evidence: Evidence) -> dict[str, Any]:
    """Return an effect as JSON, in the metric's own direction."""
    sign = 1 if evidence.objective.mode == "max" else -1
    low, high = sorted(sign * end for end in effect.interval)
    return {
        **asdict(effect),
        "levels": list(effect.levels),
        "estimate": sign * effect.estimate,
        "interval": [low, high],
    }


def _interactions(found: Sequence[Interaction], evidence: Evidence) -> Iterable[Deduction]:
    for one in found:
        first, second = one.names
        test = (
            f"(F = {one.f:.3g} on {one.df[0]:.0f} and {one.df[1]:.0f} degrees of freedom, {probability(one.p)}, "
            f"{probability(one.holm)} after Holm, n = {one.n} configurations)"
        )
        numbers = {"test": "interaction", **asdict(one), "names": list(one.names), "df": list(one.df)}
        if one.grade == "not resolved":
            text = f"That the effect of {first} depends on {second}, or the other way round, is not resolved {test}."
        else:
            text = (
                f"The effect of {first} on {evidence.objective.metric} depends on {second}: their levels together "
                f"explain a sd of {one.sd:.3g} that neither does alone {test}."
            )
        yield Deduction(text, one.grade, numbers)


def _same(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Tell whether two pairs hold the same levels, which may be lists or mappings, in whatever order."""
    return sorted(map(canonical, left)) == sorted(map(canonical, right))


def _balance(evidence: Evidence, found: Sequence[Effect]) -> Iterable[Deduction]:
    """Tell for each regulariser whether less of it fits the evaluation set better or worse."""
    for name, levels in evidence.space.levels.items():
        if name.rpartition(".")[2] not in _REGULARISERS:
            continue
        ends = [effect for effect in found if effect.name == name and _same(effect.levels, (levels[0], levels[-1]))]
        if not ends or math.isnan(ends[0].p):
            continue
        effect = ends[0] if ends[0].levels[0] == levels[0] else replace(ends[0], estimate=-ends[0].estimate)
        least, most = level_text(levels[0]), level_text(levels[-1])
        by = f"{abs(effect.estimate):.4g} {evidence.objective.metric}, {probability(effect.p)}, "
        by += f"{probability(effect.holm)} after Holm, n = {effect.n} trials"
        if effect.grade == "not resolved":
            text = f"Whether {name}={most} regularises too much or {name}={least} too little is not resolved ({by})."
        elif effect.estimate > 0:
            text = f"{name}={most} regularises too much: {name}={least} is better ({by})."
        else:
            text = f"{name}={least} regularises too little: {name}={most} is better ({by})."
        yield Deduction(text, effect.grade, {"test": "regularisation", **_numbers(effect, evidence)})
