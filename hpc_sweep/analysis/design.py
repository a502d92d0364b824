"""What kind of table was run, and so which steps of the decision hold: a grid, drawn values, conditions, batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_sweep.analysis.factorial import Factorial
from hpc_sweep.space import configuration, is_number
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from hpc_sweep.analysis.table import Evidence
    from hpc_sweep.plan import Plan


@dataclass(frozen=True)
class Design:
    """``drawn``: hyperparameters whose numbers hardly repeat; ``conditional``: those that some configurations lack.

    ``batches``: how often new configurations were asked for; ``pruned``: how many trials were stopped before their last
    epoch.
    """

    drawn: tuple[str, ...]
    conditional: tuple[str, ...]
    batches: int
    pruned: int

    @classmethod
    def of(cls, evidence: Evidence) -> Design:
        """Find the kind of a table in its configurations."""
        ran = [dict(one.params) for one in evidence.configurations if one.n]
        factorial = Factorial.of([{k: v for k, v in one.items() if is_number(v)} for one in ran])
        drawn = tuple(name for at, name in enumerate(factorial.names) if factorial.continuous(at))
        pruned = sum(one.status is Status.PRUNED for one in evidence.observations)
        return cls(drawn, conditional(evidence), _batches(evidence.ledger.plan), pruned)

    def sentences(self) -> list[str]:
        """Say what of the decision holds here and what does not; nothing for a plain grid."""
        told = []
        if self.drawn:
            told.append(
                f"{_names(self.drawn)}: drawn values, or too many to be levels. Strength is lent within classes "
                "of neighbouring values; no two values are tested against each other, and no interaction with them."
            )
        if self.conditional:
            told.append(
                f"{_names(self.conditional)}: not in every configuration. It is compared where it is active, absence "
                "counts as a level of its own, and combinations without it are no holes of a grid."
            )
        if self.batches > 1:
            told.append(
                f"New configurations were asked for {self.batches} times. Where later ones follow earlier scores, as "
                "in an adaptive search or a grid that was extended, good regions have more of them, which no interval "
                "here knows of."
            )
        if self.pruned:
            told.append(
                f"{self.pruned} trials were pruned and have no score: the others were selected by their early epochs, "
                "which no interval here knows of."
            )
        return told


def conditional(evidence: Evidence) -> tuple[str, ...]:
    """Return the hyperparameters that some configurations lack."""
    names = evidence.space.levels
    return tuple(name for name in names if any(name not in one.params for one in evidence.configurations))


def _batches(plan: Plan) -> int:
    """Return how many parts of a plan have configurations, and shards, that no part before them had.

    Under Hydra's own launcher each trial is a part by itself, all in one shard: that is how it is recorded, not asked.
    """
    known: set[str] = set()
    shards: set[int] = set()
    found = 0
    for part in plan.parts:
        asked, used = ({configuration(trial.params) for trial in part.trials}, {trial.shard for trial in part.trials})
        found += not (asked <= known or used <= shards)
        known, shards = known | asked, shards | used
    return found


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names)
