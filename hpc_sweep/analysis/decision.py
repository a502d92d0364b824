"""The winner of a sweep with its evidence: what is picked, by which rule, and what that leaves open.

The unit is the configuration. The pick is the leader of a model that borrows strength across the factorial, whatever
the verdict::

    resolved       every other configuration is worse, with the model and without it (rare, and rightly)
    leading        there is a leader; others may be as good or better (the normal case)
    cannot_tell    there is a leader at most; how far it leads by chance is not known
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.alarms import Alarm, alarms
from hpc_sweep.analysis.confirmation import Confirmation, confirmation
from hpc_sweep.analysis.deductions import Deduction, deductions
from hpc_sweep.analysis.front import front
from hpc_sweep.analysis.proof import proof
from hpc_sweep.analysis.scoring import scoring
from hpc_sweep.analysis.standing import rule_words, standing
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.space import configuration
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep.analysis.scoring import Scoring
    from hpc_sweep.analysis.standing import Place, Standing
    from hpc_sweep.analysis.table import Configuration
    from hpc_sweep.ledger import Ledger
    from hpc_sweep.objective import Objective
    from hpc_sweep.space import Space

SCHEMA = 1

Span = tuple[float, float]


class Verdict(StrEnum):
    """How much the evidence supports the pick."""

    RESOLVED = "resolved"
    LEADING = "leading"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True)
class Entry:
    """A configuration on the leaderboard; one that cannot be ranked has no rank, and ``note`` says why.

    ``trials`` are the numbers of the trials that count, ``n`` the different replicates among them, ``unscored`` the
    numbers of the others by status. ``mean`` is what was observed, ``shrunk`` what is left of it after the luck of the
    best, ``interval`` the 95 % interval around that given the replicates used, ``difference`` how far the leader's
    shrunk score is ahead. ``short``: on the short list for confirmation.
    """

    rank: int | None
    configuration: Mapping[str, Any]
    trials: list[int]
    n: int
    mean: float | None
    sd: float | None
    shrunk: float | None
    interval: Span | None
    difference: float | None
    tied: bool
    short: bool
    note: str
    unscored: Mapping[str, list[int]]


@dataclass(frozen=True)
class Winner:
    """The pick with its score three ways: observed (``mean``), ``shrunk``, and ``confirmed`` on fresh replicates.

    ``interval``: 95 %, for the replicates and evaluation set that were used; ``absolute``: for others too; where one
    replicate shows no noise both are None, and ``bracket`` is the range from shrunk to observed, which is no interval.
    """

    configuration: Mapping[str, Any]
    trials: list[int]
    n: int
    mean: float
    sd: float | None
    interval: Span | None
    shrunk: float | None = None
    confirmed: float | None = None
    absolute: Span | None = None
    bracket: Span | None = None


@dataclass(frozen=True)
class Choice:
    """A person's other choice: its configuration and trial, why, and its shrunk score less the pick's (``delta``)."""

    configuration: Mapping[str, Any]
    trial: int
    reason: str
    n: int
    mean: float | None
    shrunk: float | None
    delta: float | None


@dataclass(frozen=True)
class Decision:
    """What `decision.json` says; `inputs` are the highest numbers that were read of each log.

    `vanished` are the highest numbers that an earlier decision had read, of the logs that do not reach them any more.
    """

    schema: int
    inputs: Mapping[str, int]
    objective: Mapping[str, Any]
    verdict: Verdict
    rule: str
    winner: Winner | None
    tie_set: tuple[Mapping[str, Any], ...]
    leaderboard: tuple[Entry, ...]
    alarms: tuple[Alarm, ...]
    deductions: tuple[Deduction, ...]
    coverage: Mapping[str, int]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    front: tuple[Mapping[str, Any], ...] = ()
    choice: Choice | None = None
    confirmation: Confirmation | None = None
    vanished: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are recorded: `vanished` only where something is gone."""
        fields = asdict(self)
        return fields if self.vanished else {name: field for name, field in fields.items() if name != "vanished"}

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Decision:
        """Return the decision that `as_json` recorded."""
        winner, choice, fresh = given["winner"], given.get("choice"), given.get("confirmation")
        parsed = {
            "verdict": Verdict(given["verdict"]),
            "winner": None if winner is None else Winner(**_with_spans(winner, "interval", "absolute", "bracket")),
            "tie_set": tuple(given["tie_set"]),
            "leaderboard": tuple(Entry(**_with_spans(one, "interval")) for one in given["leaderboard"]),
            "alarms": tuple(Alarm(**one) for one in given["alarms"]),
            "deductions": tuple(Deduction(**one) for one in given["deductions"]),
            "front": tuple(given["front"]),
            "choice": None if choice is None else Choice(**choice),
            "confirmation": None if fresh is None else Confirmation(**_with_spans(fresh, "interval")),
        }
        return cls(**{**given, **parsed})


def decide(ledger: Ledger, objective: Objective | None = None, space: Space | None = None) -> Decision:
    """Judge the state of a sweep by its own objective and planned space, unless others are given."""
    return decide_evidence(Evidence.of(ledger, objective, space))


def decide_evidence(evidence: Evidence) -> Decision:
    """Judge what was observed; the order of the rows does not matter."""
    scored = scoring(evidence)
    stand = standing(scored) if scored else None
    board = _leaderboard(evidence, stand, scored)
    fresh = confirmation(evidence, stand)
    return Decision(
        schema=SCHEMA,
        inputs=dict(evidence.ledger.inputs),
        objective=evidence.objective.as_json(),
        verdict=Verdict(stand.verdict[0]) if stand else Verdict.CANNOT_TELL,
        rule=rule_words(stand, evidence.objective) if stand else _nothing_ranked(evidence),
        winner=_winner(board[0], stand, fresh) if stand else None,
        tie_set=tuple(_tie(entry) for entry in board if entry.tied),
        leaderboard=board,
        alarms=alarms(evidence, stand),
        deductions=deductions(evidence, stand) if stand else (),
        coverage=_coverage(evidence),
        evidence=proof(stand) if stand else {},
        front=front(evidence),
        confirmation=fresh,
        vanished=dict(evidence.ledger.vanished),
    )


def _with_spans(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return fields whose intervals, lists in JSON, are pairs again."""
    return {**given, **{name: None if given[name] is None else tuple(given[name]) for name in names}}


def _nothing_ranked(evidence: Evidence) -> str:
    objective = evidence.objective
    if objective.mode is None:
        return (
            f"Nothing is ranked: the sweep does not say whether {objective.metric} is better when it is high or low. "
            "Type the sweep's command again with hydra.launcher.objective.mode=max (or min) and its hydra.sweep.dir: "
            "what was trained is ranked, and nothing is trained again."
        )
    if evidence.scored:
        return f"Nothing is ranked: no configuration keeps to {' and '.join(map(str, objective.limits))}."
    return f"Nothing is ranked: no completed trial has a finite {objective.metric}."


def _leaderboard(evidence: Evidence, stand: Standing | None, scored: Scoring | None) -> tuple[Entry, ...]:
    places = stand.places if stand else ()
    ranked = [_ranked(rank, place) for rank, place in enumerate(places, start=1)]
    known = {place.configuration.first for place in places}
    rest = sorted((one for one in evidence.configurations if one.first not in known), key=lambda one: one.first)
    excluded = scored.excluded if scored else {}
    return (*ranked, *(_unranked(one, excluded.get(one.first, "")) for one in rest))


def _ranked(rank: int, place: Place) -> Entry:
    one = place.configuration
    return Entry(
        rank=rank,
        configuration=dict(one.params),
        trials=one.trials,
        n=place.replicates,
        mean=one.mean,
        sd=one.sd,
        shrunk=place.shrunk,
        interval=place.interval,
        difference=place.difference,
        tied=place.tied,
        short=place.short,
        note="collapsed" if place.collapsed else "",
        unscored=_unscored(one),
    )


def _unranked(one: Configuration, note: str) -> Entry:
    mean = one.mean if one.n else None
    unscored = _unscored(one)
    params = dict(one.params)
    return Entry(None, params, one.trials, one.n, mean, one.sd, None, None, None, False, False, note, unscored)  # noqa: FBT003 because the fields are named above


def _unscored(one: Configuration) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for observation in one.observations:
        if not observation.scored:
            found.setdefault(observation.status.value, []).append(observation.trial.number)
    return found


def _winner(entry: Entry, stand: Standing, fresh: Confirmation | None) -> Winner:
    """Return the pick; only the fresh mean of a configuration that was named before is quoted, once it is whole."""
    assert entry.mean is not None
    named = (
        fresh is not None and fresh.over and configuration(fresh.configuration) == configuration(entry.configuration)
    )
    own = stand.pick.index == stand.judgement.leader
    return Winner(
        configuration=entry.configuration,
        trials=entry.trials,
        n=entry.n,
        mean=entry.mean,
        sd=entry.sd,
        interval=entry.interval,
        shrunk=entry.shrunk,
        confirmed=fresh.mean if fresh is not None and named else None,
        absolute=stand.span(stand.judgement.absolute) if own and entry.interval else None,
        bracket=stand.span(stand.judgement.bracket) if own else None,
    )


def _tie(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in ("configuration", "trials", "mean", "shrunk", "difference")}


def _coverage(evidence: Evidence) -> dict[str, int]:
    counts = Counter(one.status for one in evidence.observations)
    known = (Status.COMPLETED, Status.FAILED, Status.DIVERGED, Status.PRUNED)
    missing = len(evidence.observations) - sum(counts[status] for status in known)
    return {
        "planned": len(evidence.observations),
        **{status.value: counts[status] for status in known},
        "missing": missing,
    }
