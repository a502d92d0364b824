"""What the winner itself warns of: edges, rising curves, small evaluation sets, narrow leads, scores that stand out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpc_sweep.analysis.intervals import slope, wilson
from hpc_sweep.analysis.naming import counted, runs
from hpc_sweep.analysis.table import label, level_text
from hpc_sweep.records import canonical
from hpc_sweep.space import Space
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpc_sweep.analysis.standing import Standing
    from hpc_sweep.analysis.table import Configuration, Evidence

SMALL = 1000
"""Below this many evaluation examples a proportion is uncertain by three points or more."""

_NAMED = 12
_FIRST = 3
_FEWEST_EPOCHS = 4
_CERTAIN = 2.0
_AGAIN = "hydra.sweep.dir=<this sweep>"


def cautions(evidence: Evidence, stand: Standing) -> list[tuple[str, str, str]]:
    """Return kind, text and remedy of everything that the winner and its judgement warn of."""
    winner = stand.pick.configuration
    found = [(kind, check(evidence, winner), remedy(evidence, winner)) for kind, remedy, check in _OF_THE_WINNER]
    found += [(kind, check(evidence, stand), remedy) for kind, remedy, check in _OF_THE_JUDGEMENT]
    return [one for one in found if one[1]]


def _winner_diverged(evidence: Evidence, winner: Configuration) -> str:
    del evidence
    diverged = [one.trial.number for one in winner.observations if one.status is Status.DIVERGED]
    if not diverged:
        return ""
    total = len(winner.observations)
    return f"{len(diverged)} of {total} replicates of the winner diverged ({runs(diverged)}); its mean leaves them out."


def _edge_of_grid(evidence: Evidence, winner: Configuration) -> str:
    ran = _levels_that_ran(evidence)
    return " ".join(_edge(name, winner.params[name], ran.levels[name]) for name in ran.edges(winner.params))


def _levels_that_ran(evidence: Evidence) -> Space:
    scored = [one for one in evidence.configurations if one.n]
    ran = {name: {canonical(one.params.get(name)) for one in scored} for name in evidence.space.levels}
    levels = evidence.space.levels.items()
    return Space({name: tuple(level for level in all_ if canonical(level) in ran[name]) for name, all_ in levels})


def _edge(name: str, value: object, levels: Sequence[object]) -> str:
    end = "smallest" if value == levels[0] else "largest"
    tried = ", ".join(level_text(level) for level in levels[:_NAMED]) + (", …" if len(levels) > _NAMED else "")
    return f"{name}={level_text(value)} is the {end} of the {len(levels)} values that were tried ({tried})."


def _curve_rising(evidence: Evidence, winner: Configuration) -> str:
    """Compare the slope over the last third of the epochs (four at least) with twice its standard error."""
    metric, mode = evidence.objective.metric, evidence.objective.mode
    curves = [one.curve(metric) for one in winner.scored]
    epochs = min(map(len, curves))
    tail = max(_FEWEST_EPOCHS, math.ceil(epochs / 3))
    if epochs < tail:
        return ""
    last = [math.fsum(curve[index] for curve in curves) / len(curves) for index in range(epochs - tail, epochs)]
    if not all(map(math.isfinite, last)):
        return ""
    rise, error = slope(last)
    if (rise if mode == "max" else -rise) <= 2 * error:
        return ""
    return (
        f"The winner was still improving: over the last {tail} of {epochs} epochs {metric} went from {last[0]:.4g} to "
        f"{last[-1]:.4g}, {rise:+.2g} per epoch (standard error {error:.2g}). The ranking may differ after more epochs."
    )


def _small_evaluation_set(evidence: Evidence, winner: Configuration) -> str:
    metric, evaluation = evidence.objective.metric, evidence.evaluation
    if evaluation.size is None or evaluation.size >= SMALL:
        return ""
    if not evaluation.proportion:
        return f"{metric} was measured on n = {evaluation.size} examples; how uncertain that makes it is not known."
    low, high = wilson(winner.mean, evaluation.size)
    return (
        f"{metric} = {winner.mean:.4g} was measured on n = {evaluation.size} examples: by that alone its 95 % interval "
        f"is {low:.3f} to {high:.3f} (Wilson)."
    )


def _narrow_lead(evidence: Evidence, stand: Standing) -> str:
    """Compare the lead over the second with the noise of evaluating both, where the examples were counted."""
    size = evidence.evaluation.size
    rest = [place.configuration for place in stand.places[1:]]
    if not evidence.evaluation.proportion or size is None or not rest:
        return ""
    sign = 1 if evidence.objective.mode == "max" else -1
    first, second = stand.pick.configuration, max(rest, key=lambda one: (sign * one.mean, -one.first))
    lead, share = sign * (first.mean - second.mean), (first.mean + second.mean) / 2
    error = math.sqrt(2 * share * (1 - share) / size)
    if error == 0 or lead > _CERTAIN * error:
        return ""
    exact = f"; Fisher's exact test gives p = {_fisher(first.mean, second.mean, size):.3f}" if size < SMALL else ""
    named = f"({label(second.params)}, {second.mean:.4g})"
    lead_text = f"The lead over the next by its mean {named} is {lead:.4g}"
    if lead < 0:
        lead_text = (
            f"Another configuration has the better mean {named}, by {-lead:.4g}, and the lower shrunk score; that is"
        )
    return (
        f"{lead_text}{',' if lead >= 0 else ''} {abs(lead) / error:.1f} standard errors of the difference of two "
        f"evaluations on n = {size} examples{exact}."
    )


def _fisher(left: float, right: float, n: int) -> float:
    """Return the two-sided p of Fisher's exact test for two shares of `n` examples each."""
    a, b = round(left * n), round(right * n)
    total = a + b
    ways = {k: math.comb(n, k) * math.comb(n, total - k) for k in range(max(0, total - n), min(n, total) + 1)}
    return sum(way for way in ways.values() if way <= ways[a]) / sum(ways.values())


def _stands_out(evidence: Evidence, stand: Standing) -> str:
    if not stand.judgement.stands_out:
        return ""
    shrunk, observed = stand.pick.shrunk, stand.pick.observed
    return (
        f"The leader stands out from its neighbours (z = {stand.judgement.cavity_z:.2g}): "
        f"{evidence.objective.metric} was {observed:.4g}, and {shrunk:.4g} is what its neighbours leave of "
        "it. The truth may be either."
    )


def _collapsed(evidence: Evidence, stand: Standing) -> str:
    collapsed = [stand.scoring.configurations[index] for index in stand.judgement.collapsed]
    if not collapsed:
        return ""
    return (
        f"{len(collapsed)} of {len(stand.scoring.configurations)} configurations collapsed, far below the others in "
        f"{evidence.objective.metric}, and take no part in the model: {_first_of(collapsed)}."
    )


def _diverged_configurations(evidence: Evidence, stand: Standing) -> str:
    numbers = sorted(stand.scoring.excluded)
    ended = [number for number in numbers if "diverged" in stand.scoring.excluded[number]]
    if not ended:
        return ""
    ones = [one for one in evidence.configurations if one.first in ended]
    what = f"{len(ended)} configurations diverged in some replicate and cannot win, whatever the others scored"
    return f"{what}: {_first_of(ones)}."


def _first_of(ones: Sequence[Configuration]) -> str:
    """Return the first few configurations by name."""
    return "; ".join(label(one.params) for one in ones[:_FIRST]) + ("; …" if len(ones) > _FIRST else "")


def _equal_outcomes(evidence: Evidence, stand: Standing) -> str:
    groups = stand.judgement.twins
    if not groups:
        return ""
    ones = [stand.scoring.configurations[index] for index in groups[0]]
    differing = [name for name in evidence.space.levels if len({canonical(one.params.get(name)) for one in ones}) > 1]
    first = "; ".join(label(one.params) for one in ones[:_FIRST])
    told = counted(len(groups), "group of configurations has", "groups of configurations have")
    return (
        f"{told} exactly equal outcomes ({sum(map(len, groups))} configurations); "
        f"in the first ({first}) {', '.join(differing)} changes nothing."
    )


def _extend(evidence: Evidence, winner: Configuration) -> str:
    """Return the command that tries one more level beyond each edge where one makes sense."""
    ran = _levels_that_ran(evidence)
    beyond = {name: _beyond(winner.params[name], ran.levels[name]) for name in ran.edges(winner.params)}
    told = [f"{name}={level_text(level)}" for name, level in beyond.items() if level is not None]
    return f"the same command with {' '.join(told)} and {_AGAIN}" if told else "a wider range, where it makes sense"


def _beyond(value: float, levels: Sequence[float]) -> float | None:
    """Return the next level outside, by the ratio of the last two where they are far apart, else by their difference.

    Whole numbers stay whole. None where it would leave the side of zero on which the levels are, or where they are, as
    far as one can see, shares of one.
    """
    outer, inner = (levels[0], levels[1]) if value == levels[0] else (levels[-1], levels[-2])
    ratio = outer / inner if inner > 0 and outer > 0 else 0.0
    geometric = ratio and not 0.5 < ratio < 2  # noqa: PLR2004 because a factor of two is a step on a log axis
    level = float(f"{outer * ratio if geometric else 2 * outer - inner:.3g}")
    if all(isinstance(one, int) for one in levels):
        level = round(level)
    shares = levels[0] >= 0 and levels[-1] <= 1
    return None if level * outer <= 0 or level == outer or (shares and level > 1) else level


def _longer(evidence: Evidence, winner: Configuration) -> str:
    epochs = max((len(one.curve(evidence.objective.metric)) for one in winner.scored), default=0)
    return f"the same command with epochs={2 * epochs}, in a new folder" if epochs else ""


def _more_seeds(evidence: Evidence, winner: Configuration) -> str:
    del winner
    return f"the same command with {evidence.objective.replicate or 'seed'}=<new ones> and {_AGAIN}"


def _larger_set(evidence: Evidence, winner: Configuration) -> str:
    split = evidence.objective.metric.partition("/")[0]
    if any({f"{split}/correct", f"{split}/items"} & one.extras.keys() for one in winner.scored):
        return "a larger evaluation set"
    return f"a larger evaluation set, or per-item outcomes in the trials' extras ({split}/correct)"


_OF_THE_WINNER: tuple[
    tuple[str, Callable[[Evidence, Configuration], str], Callable[[Evidence, Configuration], str]], ...
] = (
    ("winner_diverged", _more_seeds, _winner_diverged),
    ("edge_of_grid", _extend, _edge_of_grid),
    ("curve_rising", _longer, _curve_rising),
    ("small_evaluation_set", _larger_set, _small_evaluation_set),
)
_OF_THE_JUDGEMENT: tuple[tuple[str, str, Callable[[Evidence, Standing], str]], ...] = (
    (
        "narrow_lead",
        "more replicates and a larger evaluation set; until then treat the first ones as equal",
        _narrow_lead,
    ),
    ("stands_out", f"the same command for this configuration with new replicates, and {_AGAIN}", _stands_out),
    ("collapsed", "nothing, or narrower ranges in the next sweep", _collapsed),
    (
        "diverged_configurations",
        "hpc-sweep logs <this sweep> <trial>, and a lower learning rate",
        _diverged_configurations,
    ),
    ("equal_outcomes", "one level of it is enough: leave the others out of the next sweep", _equal_outcomes),
)
