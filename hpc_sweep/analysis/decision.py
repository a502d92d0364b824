"""The winner of a sweep with its evidence: what is picked, by which rule, and what that leaves open.

The unit is the configuration; its score is the mean over its replicates. The picked one is the leader, whatever the
verdict. Nothing here corrects for having looked for the best of many, so no winner is ever called resolved::

    leading        there is a leader, and the noise around it is known
    cannot_tell    there is a leader at most; how far it leads by chance is not known
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.alarms import SMALL, Alarm, alarms
from hpc_sweep.analysis.intervals import Z95, t95
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep.analysis.table import Configuration, Evaluation
    from hpc_sweep.ledger import Ledger
    from hpc_sweep.objective import Objective
    from hpc_sweep.space import Space

SCHEMA = 1

_FEWEST_DEGREES = 8


class Verdict(StrEnum):
    """How much the evidence supports the pick."""

    LEADING = "leading"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True)
class Entry:
    """A configuration on the leaderboard; one without a score has no rank and no mean.

    ``trials`` are the numbers of the trials that count, ``unscored`` those of the others by status; ``difference`` is
    how far the leader is ahead, ``bound`` what it would have to be for the two not to be tied.
    """

    rank: int | None
    configuration: Mapping[str, Any]
    trials: list[int]
    n: int
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    difference: float | None
    bound: float | None
    tied: bool
    unscored: Mapping[str, list[int]]


@dataclass(frozen=True)
class Winner:
    """The pick. ``shrunk`` and ``confirmed`` are its score by a model and on fresh replicates; neither exists yet."""

    configuration: Mapping[str, Any]
    trials: list[int]
    n: int
    mean: float
    sd: float | None
    interval: tuple[float, float] | None
    shrunk: float | None = None
    confirmed: float | None = None


@dataclass(frozen=True)
class Decision:
    """What `decision.json` says; `inputs` are the highest numbers that were read of each log."""

    schema: int
    inputs: Mapping[str, int]
    objective: Mapping[str, Any]
    verdict: Verdict
    rule: str
    winner: Winner | None
    tie_set: tuple[Mapping[str, Any], ...]
    leaderboard: tuple[Entry, ...]
    alarms: tuple[Alarm, ...]
    deductions: tuple[Mapping[str, Any], ...]
    coverage: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are recorded."""
        return asdict(self)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Decision:
        """Return the decision that `as_json` recorded."""
        winner = given["winner"]
        parsed = {
            "verdict": Verdict(given["verdict"]),
            "winner": None if winner is None else Winner(**winner | {"interval": _pair(winner["interval"])}),
            "tie_set": tuple(given["tie_set"]),
            "leaderboard": tuple(Entry(**one | {"interval": _pair(one["interval"])}) for one in given["leaderboard"]),
            "alarms": tuple(Alarm(**one) for one in given["alarms"]),
            "deductions": tuple(given["deductions"]),
        }
        return cls(**{**given, **parsed})


@dataclass(frozen=True)
class Noise:
    """What is known of the noise: between replicates (pooled sd and its degrees of freedom) and of one evaluation."""

    sd: float
    df: int
    mostly_single: bool
    examples: int | None

    @classmethod
    def of(cls, scored: Sequence[Configuration], evaluation: Evaluation) -> Noise:
        """Pool the replicates of all configurations that have a score."""
        df = sum(one.n - 1 for one in scored)
        sd = math.sqrt(math.fsum(one.squares for one in scored if one.n > 1) / df) if df else 0.0
        mostly_single = 2 * sum(one.n == 1 for one in scored) > len(scored)
        return cls(sd, df, mostly_single, evaluation.size if evaluation.noise_known else None)

    @property
    def of_replicates(self) -> bool:
        """Whether ties are told by the replicates, and not by the size of the evaluation set."""
        return self.sd > 0 and not (self.mostly_single and self.examples)

    def interval(self, one: Configuration) -> tuple[float, float] | None:
        """Return the 95 % t-interval of a mean of two replicates or more, by the pooled sd."""
        if one.n < 2 or self.sd == 0:  # noqa: PLR2004 because one replicate shows no noise
            return None
        half = t95(self.df) * self.sd / math.sqrt(one.n)
        return one.mean - half, one.mean + half

    def bound(self, one: Configuration, leader: Configuration) -> float:
        """Return the largest difference to the leader that still counts as a tie."""
        if self.of_replicates:
            return t95(self.df) * self.sd * math.sqrt(1 / one.n + 1 / leader.n)
        if self.examples:
            share = (one.mean + leader.mean) / 2
            return Z95 * math.sqrt(2 * share * (1 - share) / self.examples)
        return 0.0


@dataclass(frozen=True)
class Judgement:
    """What the inner procedure says about the configurations that have a score; the first is the leader."""

    ranked: tuple[Configuration, ...]
    intervals: tuple[tuple[float, float] | None, ...]
    bounds: tuple[float, ...]
    verdict: Verdict
    rule: str


def decide(ledger: Ledger, objective: Objective | None = None, space: Space | None = None) -> Decision:
    """Judge the state of a sweep by its own objective and planned space, unless others are given."""
    return decide_evidence(Evidence.of(ledger, objective, space))


def decide_evidence(evidence: Evidence) -> Decision:
    """Judge what was observed; the order of the rows does not matter."""
    scored = [one for one in evidence.configurations if one.n]
    judgement = judge_simply(scored, evidence.objective, evidence.evaluation)
    board = _leaderboard(evidence, judgement)
    leader = judgement.ranked[0] if judgement.ranked else None
    return Decision(
        schema=SCHEMA,
        inputs=dict(evidence.ledger.inputs),
        objective=evidence.objective.as_json(),
        verdict=judgement.verdict,
        rule=judgement.rule,
        winner=_winner(board[0]) if leader else None,
        tie_set=tuple(_tie(entry) for entry in board if entry.tied),
        leaderboard=board,
        alarms=alarms(evidence, leader),
        deductions=(),
        coverage=_coverage(evidence),
    )


def judge_simply(scored: Sequence[Configuration], objective: Objective, evaluation: Evaluation) -> Judgement:
    """Rank by the mean and call tied what the noise cannot tell apart; no model, no correction for the choice."""
    if objective.mode is None or not scored:
        return Judgement((), (), (), Verdict.CANNOT_TELL, _nothing_ranked(objective))
    ranked = tuple(sorted(scored, key=lambda one: (-objective.score(one.mean), one.first)))
    noise = Noise.of(ranked, evaluation)
    reasons = _doubts(ranked, noise, evaluation)
    rule = " ".join([_ranking_rule(objective), _tie_rule(ranked, noise), *reasons])
    return Judgement(
        ranked,
        tuple(noise.interval(one) for one in ranked),
        tuple(noise.bound(one, ranked[0]) for one in ranked),
        Verdict.CANNOT_TELL if reasons else Verdict.LEADING,
        rule,
    )


def _pair(ends: Sequence[float] | None) -> tuple[float, float] | None:
    return None if ends is None else (ends[0], ends[1])


def _nothing_ranked(objective: Objective) -> str:
    if objective.mode is None:
        return (
            f"Nothing is ranked: the sweep does not say whether {objective.metric} is better when it is high or low. "
            "Declare it with objective.mode=max or objective.mode=min."
        )
    return f"Nothing is ranked: no completed trial has a finite {objective.metric}."


def _ranking_rule(objective: Objective) -> str:
    when = "at the last epoch" if objective.at == "last" else "at each trial's own best epoch"
    order = "highest" if objective.mode == "max" else "lowest"
    return (
        f"Configurations are ranked by the mean of {objective.metric} {when} over their replicates, {order} first; "
        "exact ties go to the lowest trial number; the pick is the first."
    )


def _tie_rule(ranked: Sequence[Configuration], noise: Noise) -> str:
    leader = ranked[0]
    if noise.of_replicates:
        rule = (
            f"A configuration is tied with the leader when it is behind by at most t = {t95(noise.df):.3f} times "
            f"{noise.sd:.4g} (the replicate sd pooled over all configurations, {noise.df} degrees of freedom) times "
            f"sqrt(1/n + 1/{leader.n}); with n = {leader.n} that is {noise.bound(leader, leader):.4g}."
        )
    elif noise.examples:
        rule = (
            f"A configuration is tied with the leader when it is behind by at most 1.96 sqrt(2 p (1 - p) / "
            f"{noise.examples}), the noise of two evaluations on {noise.examples} examples with p the mean of the two "
            f"scores; at the leader's {leader.mean:.4g} that is {noise.bound(leader, leader):.4g}."
        )
    else:
        rule = "Only exactly equal means count as tied, because no noise is known."
    return f"{rule} Nothing is corrected for having chosen the best of {len(ranked)}."


def _doubts(ranked: Sequence[Configuration], noise: Noise, evaluation: Evaluation) -> list[str]:
    """Return why it cannot be told how far the leader leads by chance; empty when it can."""
    total = len(ranked)
    doubts = []
    if total == 1:
        doubts.append("only one configuration has a score")
    if noise.mostly_single:
        doubts.append(f"{sum(one.n == 1 for one in ranked)} of {total} configurations have one replicate")
    elif noise.df < _FEWEST_DEGREES:
        doubts.append(f"the replicates leave {noise.df} degrees of freedom, fewer than {_FEWEST_DEGREES}")
    if not evaluation.noise_known and (evaluation.size is None or evaluation.size < SMALL):
        size = "an unknown number of" if evaluation.size is None else str(evaluation.size)
        doubts.append(f"the noise of an evaluation on {size} examples is not known")
    return [f"It cannot be told how much of the lead is chance: {', and '.join(doubts)}."] if doubts else []


def _leaderboard(evidence: Evidence, judgement: Judgement) -> tuple[Entry, ...]:
    judged = zip(judgement.ranked, judgement.intervals, judgement.bounds, strict=True)
    ranked = [_ranked(place, *one, judgement.ranked[0]) for place, one in enumerate(judged, start=1)]
    places = {one.first for one in judgement.ranked}
    rest = sorted((one for one in evidence.configurations if one.first not in places), key=lambda one: one.first)
    return (*ranked, *(_entry(one) for one in rest))


def _ranked(
    place: int, one: Configuration, interval: tuple[float, float] | None, bound: float, leader: Configuration
) -> Entry:
    difference = abs(leader.mean - one.mean)
    return _entry(one, rank=place, interval=interval, difference=difference, bound=bound, tied=difference <= bound)


def _entry(  # noqa: PLR0913 because a ranked entry differs from an unranked one in all of this
    one: Configuration,
    *,
    rank: int | None = None,
    interval: tuple[float, float] | None = None,
    difference: float | None = None,
    bound: float | None = None,
    tied: bool = False,
) -> Entry:
    unscored: dict[str, list[int]] = {}
    for observation in one.observations:
        if not observation.scored:
            unscored.setdefault(observation.status.value, []).append(observation.trial.number)
    mean = one.mean if one.n else None
    params = dict(one.params)
    return Entry(rank, params, one.trials, one.n, mean, one.sd, interval, difference, bound, tied, unscored)


def _winner(entry: Entry) -> Winner:
    assert entry.mean is not None
    return Winner(entry.configuration, entry.trials, entry.n, entry.mean, entry.sd, entry.interval)


def _tie(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("configuration", "trials", "mean", "difference", "bound")}


def _coverage(evidence: Evidence) -> dict[str, int]:
    counts = Counter(one.status for one in evidence.observations)
    known = (Status.COMPLETED, Status.FAILED, Status.DIVERGED, Status.PRUNED)
    missing = len(evidence.observations) - sum(counts[status] for status in known)
    return {
        "planned": len(evidence.observations),
        **{status.value: counts[status] for status in known},
        "missing": missing,
    }
