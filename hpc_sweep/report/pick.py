"""The pick: its card with the honesty box, its configuration, and the alarms about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.design import Design
from hpc_sweep.analysis.naming import counted, runs
from hpc_sweep.analysis.table import label, level_text
from hpc_sweep.report.document import (
    Card,
    Code,
    Command,
    Fact,
    Items,
    Link,
    Notice,
    Paragraph,
    Section,
    Table,
    code,
    line,
)
from hpc_sweep.report.drawing import epoch_rule
from hpc_sweep.report.wording import number, production_command
from hpc_sweep.space import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpc_sweep.analysis.decision import Choice, Decision, Winner
    from hpc_sweep.analysis.table import Evidence
    from hpc_sweep.objective import Objective
    from hpc_sweep.report.document import Block, Line

VERDICTS = {
    "resolved": ("resolved", "every other configuration is worse."),
    "leading": ("leading, not resolved", "it scored best; others may be as good or better."),
    "cannot_tell": ("cannot tell", "it scored best, but how much of that is chance is not known."),
}
_SHORT = 8
_ALONE = "It has no rival."


def section(evidence: Evidence, decision: Decision) -> Section:
    """Return the card of the pick, or why there is none."""
    if decision.winner is None:
        return Section("pick", "No winner", (Paragraph(line(decision.rule)),))
    chosen = _choice(decision.choice, decision, evidence) if decision.choice else []
    return Section("pick", "The pick", (_card(evidence, decision, decision.winner), *chosen))


def optimized(decision: Decision, content: Mapping[str, Any] | None, folder: Path) -> list[Block]:
    """Return the configuration that is carried on, and what to type to train it."""
    if decision.winner is None or content is None:
        return []
    carried = decision.choice.configuration if decision.choice else decision.winner.configuration
    rows = tuple((code(name), code(level_text(value))) for name, value in carried.items())
    whole = line("The whole configuration is ", Link("winner/optimized.yaml", "winner/optimized.yaml"), ". ")
    blocks: list[Block] = [Table("optimized", (("hyperparameter",), ("value",)), rows)]
    if isinstance(content.get("task"), str):
        return [*blocks, Paragraph((*whole, "The long run of it:")), Command(production_command(folder))]
    return [
        *blocks,
        Paragraph((*whole, "In your app it is ", Code("--config-dir <this folder> +winner=optimized"), ".")),
    ]


def alarms(decision: Decision) -> list[Block]:
    """Return every alarm with what mends it."""
    notices: list[Block] = [Notice(alarm.kind, alarm.text, alarm.remedy) for alarm in decision.alarms]
    return notices or [Paragraph(line("None."))]


def _card(evidence: Evidence, decision: Decision, winner: Winner) -> Card:
    verdict, words = VERDICTS[decision.verdict]
    return Card(
        runs=runs(winner.trials),
        configuration=tuple((name, level_text(value)) for name, value in winner.configuration.items()),
        metric=evidence.objective.metric,
        score=number(winner.mean),
        when=epoch_rule(evidence),
        facts=tuple(_facts(decision, winner)),
        verdict=verdict,
        verdict_text=words,
        honesty=tuple(_honesty(evidence, decision, winner)),
        interval=_gauge(decision, winner),
    )


def _facts(decision: Decision, winner: Winner) -> list[Fact]:
    """Return the score three ways, with its spread and intervals."""
    facts = [
        Fact("n =", str(winner.n)),
        Fact("sd", number(winner.sd)) if winner.sd is not None else Fact("no sd", ""),
        Fact("shrunk", number(winner.shrunk)) if winner.shrunk is not None else Fact("not shrunk", ""),
        Fact("95 % interval", span(winner.interval)) if winner.interval else Fact("no interval", ""),
    ]
    if winner.absolute and winner.absolute != winner.interval:
        facts.append(Fact("for other replicates too", span(winner.absolute)))
    facts.append(Fact("tied with", counted(len(decision.tie_set) - 1, "other")))
    facts.append(Fact("confirmed on fresh replicates:", _confirmed(decision, winner)))
    fresh = decision.confirmation
    if fresh is not None and fresh.interval and winner.confirmed is not None:
        facts.append(Fact("95 % interval of that", span(fresh.interval)))
    return facts


def _confirmed(decision: Decision, winner: Winner) -> str:
    """Return the fresh score of the pick, or how far it is."""
    fresh = decision.confirmation
    if fresh is None:
        return "not yet"
    if not fresh.over:
        return f"{fresh.n} of {fresh.planned} have ended"
    if winner.confirmed is None:
        return "not this one (see below)"
    return f"{number(winner.confirmed)} (n = {fresh.n})"


def _honesty(evidence: Evidence, decision: Decision, winner: Winner) -> list[Line]:
    """Return what a reader must know before believing the card."""
    proof = decision.evidence
    ranked = sum(entry.rank is not None for entry in decision.leaderboard)
    told = [decision.rule, *_of_luck(proof, winner, ranked), *_of_noise(proof, evidence.objective.metric)]
    told += Design.of(evidence).sentences()
    told += _of_confirmation(decision, evidence.objective)
    if ranked == 1:
        told.append(_ALONE)
    told += _what_next(proof)
    if decision.alarms:
        told.append(f"{counted(len(decision.alarms), 'alarm stands', 'alarms stand')} below, each with what mends it.")
    return [line(sentence) for sentence in told]


def _of_luck(proof: Mapping[str, Any], winner: Winner, ranked: int) -> list[str]:
    told = []
    if winner.shrunk is not None and ranked > 1:
        told.append(
            f"Observed {number(winner.mean)} is chosen from {ranked}, and so too good; {number(winner.shrunk)} is what "
            "its neighbours and the noise leave of it."
        )
    if winner.bracket:
        told.append(f"{span(winner.bracket)} is the range between the two, and no interval: no noise is known.")
    if proof["held_out"] is not None:
        told.append(
            "Check without any model: winners that are chosen without the replicate that scores them score "
            f"{number(proof['held_out'])} on average, which errs low."
        )
    return told


def _of_noise(proof: Mapping[str, Any], metric: str) -> list[str]:
    noise, told = proof["noise"], []
    if noise["sd"] is not None:
        shared = "shared, so that their common shift cancels in comparisons" if noise["paired"] else "not shared"
        told.append(
            f"Between replicates of a configuration {metric} has a sd of {number(noise['sd'])} "
            f"({noise['df']:g} degrees of freedom; replicates are {shared})."
        )
    if noise["rerun_sd"] is not None:
        told.append(
            f"Between runs of the same configuration and replicate it has a sd of {number(noise['rerun_sd'])} "
            f"({noise['rerun_df']} degrees of freedom)."
        )
    words = {
        "items": f"The noise of the evaluation set comes from the outcomes of its {noise['examples']} items.",
        "bound": f"Of the evaluation set's noise only a bound is known, from its {noise['examples']} items.",
        "unknown": "The noise of the evaluation set is not known, and is in no number here.",
    }
    return [*told, words[noise["evaluation"]]]


def _of_confirmation(decision: Decision, objective: Objective) -> list[str]:
    """Return what fresh replicates said, or how they come."""
    fresh, key = decision.confirmation, objective.replicate or "replicate"
    if fresh is None:
        waits = (
            f"objective.confirm={objective.confirm}: once all has ended, the short list runs on fresh values of {key}"
        )
        return [f"{waits} by itself, and all is decided again (by hand: hpc-sweep resume <this sweep>)."] * bool(
            objective.confirm
        )
    others = f" and {counted(fresh.others, 'other')} of the short list" if fresh.others else ""
    named = (
        f"{label(fresh.configuration)}, the pick before{others}, ran again on {fresh.planned} fresh values of {key}."
    )
    if not fresh.over:
        return [f"{named} {fresh.n} of the pick's have a score so far; until all have, none is quoted."]
    if fresh.mean is None:
        return [f"{named} None of the pick's fresh runs has a score, so that nothing is confirmed."]
    ended = "" if fresh.n == fresh.planned else f" ({fresh.planned - fresh.n} have no score, which flatters it)"
    score = f"On them {objective.metric} of the pick before is {number(fresh.mean)}{ended}"
    spread = f", 95 % interval {span(fresh.interval)}" if fresh.interval else ""
    unbiased = "it was named before they ran, so that this score has no luck of the best in it"
    told = [f"{named} {score}{spread} (n = {fresh.n}): {unbiased}; that of the evaluation set, the same, is not gone."]
    if configuration(fresh.configuration) != configuration(decision.winner.configuration if decision.winner else {}):
        told.append(
            "With all runs, old and fresh, another configuration leads by the same rules. Its own fresh mean is not "
            "quoted as confirmed, because it was chosen by it."
        )
    return told


def _what_next(proof: Mapping[str, Any]) -> list[str]:
    short, needed, told = proof["short_list"], proof["replicates_needed"], []
    if needed is not None:
        told.append(f"To separate the first two with 80 % power would take about {needed} replicates of each.")
    if len(short) > 1:
        more = f"; and {len(short) - _SHORT} more" if len(short) > _SHORT else ""
        named = "; ".join(label(one) for one in short[:_SHORT]) + more
        told.append(f"Worth fresh replicates (the short list, {len(short)}): {named}.")
    return told


def _choice(choice: Choice, decision: Decision, evidence: Evidence) -> list[Block]:
    """Return a person's other choice with its reason and what it costs."""
    delta = "not known" if choice.delta is None else f"{choice.delta:+.4g}"
    assert decision.winner is not None
    return [
        Paragraph(line("A person chose otherwise: ", Code(label(choice.configuration)), f", Run {choice.trial}.")),
        Items(
            (
                line(f"Reason: {choice.reason}"),
                line(
                    f"{evidence.objective.metric}: {number(choice.mean)} against {number(decision.winner.mean)} of the "
                    f"pick; shrunk, the difference to the best is {delta}."
                ),
            )
        ),
    ]


def _gauge(decision: Decision, winner: Winner) -> dict[str, float] | None:
    """Return where the score and its interval lie among all scores, for the card's picture."""
    means = [entry.mean for entry in decision.leaderboard if entry.mean is not None]
    ends = [*means, *(winner.interval or ()), *(winner.absolute or ())]
    least, most = min(ends), max(ends)
    if least == most:
        return None
    found = {"least": least, "most": most, "observed": winner.mean}
    if winner.shrunk is not None:
        found["shrunk"] = winner.shrunk
    spread = winner.interval or winner.bracket
    return found | ({"low": spread[0], "high": spread[1]} if spread else {})


def span(ends: tuple[float, float] | None) -> str:
    """Return an interval as people read it."""
    return f"{number(ends[0])} to {number(ends[1])}" if ends else "-"
