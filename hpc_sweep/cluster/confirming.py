"""Fresh replicates for the short list: planned once, when all that the sweep was asked for has ended.

The plan part is the record. Whoever finds the sweep complete may append it, right behind the parts that were judged:
of two the first succeeds, and the other finds it. From then on its trials are owed like any others, so that a process
that was killed before it submitted them leaves them to the next one.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeGuard

from omegaconf import OmegaConf

from hpc_sweep import ledger
from hpc_sweep.analysis.confirmation import to_confirm
from hpc_sweep.analysis.scoring import scoring
from hpc_sweep.analysis.standing import standing
from hpc_sweep.analysis.table import Evidence
from hpc_sweep.cluster import local, owed, states
from hpc_sweep.identity import VOLATILE, resolved, restored, trial_id
from hpc_sweep.plan import append_part, differences, partition, read_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Intent
    from hpc_sweep.ledger import Ledger
    from hpc_sweep.plan import Part, Plan
    from hpc_sweep.trial import Trial

log = logging.getLogger(__name__)

_ABSENT = object()


def extend(sweep: paths.Sweep, parameters: Mapping[str, Any]) -> Part | None:
    """Plan the fresh replicates that are due by the sweep's objective, and return the part; None where none are.

    ``parameters`` are the launcher's.
    """
    while True:
        state = ledger.read_ledger(sweep, over=states.over(sweep))
        origins = origins_of(state)
        if not origins:
            return None
        part = _append(sweep, state, origins, parameters)
        if part is not None:
            return part


def shards(sweep: paths.Sweep, parameters: Mapping[str, Any]) -> set[int]:
    """Return the shards of the fresh replicates, planned now if they are due; none while they are not."""
    extend(sweep, parameters)
    part = read_plan(sweep.plan, sweep=ledger.read_identity(sweep).sweep).confirmation
    return set() if part is None else {trial.shard for trial in part.trials}


def run_here(sweep: paths.Sweep, template: Intent) -> int:
    """Run on this machine what fresh replicates are due or left, and return how many trials that were."""
    fresh = shards(sweep, template.parameters)
    state = ledger.read_ledger(sweep, over=states.over(sweep))
    left = local.idle(sweep, owed.shards(state, among=fresh)) if fresh else []
    trials = owed.trials_owed(state, left)
    if left:
        log.info("All has ended: the short list runs on fresh replicates, %d trials.", trials)
        local.run(sweep, state.identity.sweep, template, left, trials=trials)
    return trials


def origins_of(state: Ledger) -> list[Trial]:
    """Return a trial of each configuration to confirm, the pick first: none until all has ended, and none twice."""
    if not state.identity.objective.confirm or state.plan.confirmation is not None or owed.shards(state):
        return []
    scored = scoring(Evidence.of(state))
    if scored is None:
        return []
    chosen = to_confirm(standing(scored).judgement)
    return [scored.configurations[index].scored[0].trial for index in chosen]


def fresh_values(plan: Plan, key: str, number: int) -> list[int]:
    """Return the numbers that follow the largest replicate of a plan; no trial ran with any of them."""
    used = [trial.replicate for trial in plan.trials] + [replicate_of(part.base, key) for part in plan.parts]
    largest = max((value for value in used if is_replicate(value)), default=0)
    return [max(largest, 0) + step for step in range(1, number + 1)]


def repeat(configuration: Mapping[str, Any], key: str, value: int) -> dict[str, Any]:
    """Return a copy of a trial's raw configuration with another replicate; the key is dotted."""
    copied = copy.deepcopy(dict(configuration))
    node, (*above, last) = copied, key.split(".")
    for name in above:
        node = node[name]
    node[last] = value
    return copied


def replicate_of(configuration: Mapping[str, Any], key: str) -> object:
    """Return the value of the replicate's key in a raw configuration; None where it has none."""
    node: Any = configuration
    for name in key.split("."):
        node = node.get(name, _ABSENT) if isinstance(node, dict) else _ABSENT
    return None if node is _ABSENT else node


def is_replicate(value: object) -> TypeGuard[int]:
    """Tell whether a replicate is a whole number, after which others can be counted."""
    return isinstance(value, int) and not isinstance(value, bool)


def identity(configuration: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Return the id that the trial of a raw configuration has: by its own rules, or by the launcher's."""
    own = configuration.get("identity") if isinstance(configuration.get("task"), str) else None
    rules = own if isinstance(own, dict) else parameters.get("identity") or {}
    volatile = (*VOLATILE, *(rules.get("volatile") or ()))
    return trial_id(resolved(OmegaConf.create(restored(dict(configuration))), volatile), rules.get("exclude") or ())


def _append(sweep: paths.Sweep, state: Ledger, origins: Sequence[Trial], parameters: Mapping[str, Any]) -> Part | None:
    """Append the part behind the plan that was judged; None when somebody else has planned meanwhile."""
    plan, objective = state.plan, state.identity.objective
    key = str(objective.replicate)
    values = fresh_values(plan, key, objective.confirm)
    jobs = [_fresh(plan, one, key, value, parameters) for one in origins for value in values]
    base, home = jobs[0][1], plan.part_of(origins[0])
    trials = [
        replace(trial, number=len(plan.trials) + number, changes=tuple(differences(base, configuration)))
        for number, (trial, configuration) in enumerate(jobs, start=1)
    ]
    repeated = [one.id for one in origins for _ in values]
    return append_part(
        sweep.plan,
        trials,
        _sizes(plan, len(trials), parameters),
        sweep=state.identity.sweep,
        base=base,
        form=home.form,
        form_sha256=home.form_sha256,
        first_shard=max(plan.shards) + 1,
        at=len(plan.parts) + 1,
        confirms={
            "named": origins[0].id,
            "origins": {trial.id: one for trial, one in zip(trials, repeated, strict=True)},
            "replicate": key,
            "unsaid": replicate_of(home.base, key) if origins[0].replicate is None else None,
        },
    )


def _fresh(
    plan: Plan, origin: Trial, key: str, value: int, parameters: Mapping[str, Any]
) -> tuple[Trial, dict[str, Any]]:
    """Return a trial on a fresh replicate, without its number and changes, and its raw configuration."""
    configuration = repeat(plan.part_of(origin).configuration(origin), key, value)
    typed = [text for text in origin.overrides if text.lstrip("+").partition("=")[0] != key]
    fresh = replace(
        origin,
        id=identity(configuration, parameters),
        overrides=(*typed, f"{key}={value}"),
        replicate=value,
    )
    return fresh, configuration


def _sizes(plan: Plan, trials: int, parameters: Mapping[str, Any]) -> list[int]:
    """Return the sizes of the shards: one for each place here, and on a cluster none larger than those before."""
    if parameters.get("executor") == "local":
        return partition(trials, shards=parameters.get("n_jobs") or local.cores(), trials_per_shard=None)
    largest = max(len(plan.shard(shard)) for shard in plan.shards)
    return partition(trials, shards=None, trials_per_shard=largest)
