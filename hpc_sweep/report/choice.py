"""A person's other choice than the pick: recorded with its reason, and carried on in the pick's place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hpc_sweep import records
from hpc_sweep.analysis.decision import Choice
from hpc_sweep.errors import CorruptRecordError, SweepError, UserError

if TYPE_CHECKING:
    from hpc_sweep import paths
    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.analysis.table import Evidence, Observation

_SCHEMA = 1


@dataclass(frozen=True)
class Wish:
    """What a person asked for: a trial by its id, and why."""

    trial: str
    reason: str


def read_wish(sweep: paths.Sweep) -> Wish | None:
    """Return the choice that stands, None where the pick does. CorruptRecordError when it cannot be read."""
    if not sweep.choice.is_file():
        return None
    body = records.read_json(sweep.choice)
    try:
        return Wish(str(body["trial"]), str(body["reason"]))
    except (KeyError, TypeError):
        raise CorruptRecordError(
            "The record of a person's choice lacks what it must say.",
            where=f"File: {sweep.choice}",
            next_step=f"Choose again, or remove it: hpc-sweep collect {sweep.root} --choose <trial> --reason <why>",
        ) from None


def choose(sweep: paths.Sweep, evidence: Evidence, decision: Decision, number: int, reason: str) -> None:
    """Record that another trial is to be carried on; choosing the pick itself takes an older choice back.

    UserError without a reason, for a number that is no trial, and for a trial without a score; SweepError while there
    is no pick to compare it with.
    """
    command = f"Type hpc-sweep collect {sweep.root} --choose {number} --reason 'why this one'"
    if not reason.strip():
        raise UserError("Another choice than the pick needs a reason, which is recorded.", next_step=command)
    if decision.winner is None:
        raise SweepError("There is no pick that a choice could be compared with.", where=decision.rule)
    one = _trial(evidence, number)
    if number in decision.winner.trials:
        sweep.choice.unlink(missing_ok=True)
        return
    body = {"schema": _SCHEMA, "trial": one.trial.id, "number": number, "reason": reason.strip()}
    try:
        records.replace(sweep.choice, records.canonical(body) + "\n")
    except OSError as error:
        error.add_note(f"The choice of Run {number} is not recorded.")
        raise


def with_choice(evidence: Evidence, decision: Decision, wish: Wish | None) -> Decision:
    """Return the decision with a person's choice beside the pick; one whose trial is not there any more is left out."""
    one = next((one for one in evidence.scored if wish is not None and one.trial.id == wish.trial), None)
    if one is None or wish is None or decision.winner is None:
        return decision
    entry = next(entry for entry in decision.leaderboard if one.trial.number in entry.trials)
    best, own = decision.winner.shrunk, entry.shrunk
    told = Choice(
        configuration=entry.configuration,
        trial=one.trial.number,
        reason=wish.reason,
        n=entry.n,
        mean=entry.mean,
        shrunk=own,
        delta=None if best is None or own is None else own - best,
    )
    return replace(decision, choice=told)


def _trial(evidence: Evidence, number: int) -> Observation:
    found = next((one for one in evidence.observations if one.trial.number == number), None)
    if found is None:
        last = max((one.trial.number for one in evidence.observations), default=0)
        raise UserError(f"There is no Run {number}.", next_step=f"The runs of this sweep are 1 to {last}.")
    if not found.scored:
        raise UserError(
            f"Run {number} has no score, so that it cannot be carried on (it is {found.status.value}).",
            next_step="Choose a run of the leaderboard in decision/report.md.",
        )
    return found
