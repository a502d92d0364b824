"""Slurm's reasons in words, and what a person can do about each; some mean that a task waits for a person."""

from __future__ import annotations

import shlex
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hpc_sweep.cluster.states import Place

STEWARD = 0
"""Stands for the steward where shards have their numbers, which begin at 1."""

RELEASE = "scontrol release {job}"
MEND = "hpc-sweep cancel {folder}, then type the sweep's command again with other hydra.launcher.* and this folder"

HOLDING = {
    "JobHeldUser": ("a user holds it", RELEASE),
    "JobHeldAdmin": ("an administrator holds it", RELEASE),
    "launch failed requeued held": ("Slurm could not start it on a node and holds it", RELEASE),
    "JobHoldMaxRequeue": ("Slurm requeued it too often and holds it", RELEASE),
    "DependencyNeverSatisfied": ("it waits for a job that will never end as it must", "hpc-sweep resume {folder}"),
    "PartitionTimeLimit": ("its time limit is above that of its partition", MEND),
    "PartitionNodeLimit": ("it asks for more nodes than its partition gives", MEND),
    "BadConstraints": ("no node is as it asks for", MEND),
    "InvalidAccount": ("its account is not valid", MEND),
    "InvalidQOS": ("its QOS is not valid", MEND),
    "AccountNotAllowed": ("its account may not use the partition", MEND),
    "QOSNotAllowed": ("its QOS may not use the partition", MEND),
}
"""What keeps a pending task until a person acts: in words, and the command that helps."""

WAITING = {
    "None": "it has just been submitted",
    "Priority": "jobs of higher priority are before it",
    "Resources": "no node is free",
    "JobArrayTaskLimit": "as many tasks of the sweep run as array_parallelism allows",
    "Dependency": "it comes after an earlier array of the sweep",
    "BeginTime": "Slurm requeued it and lets it rest for a while",
    "Cleaning": "Slurm cleans up after its last run",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs now",
    "NodeDown": "a node that it needs is down",
    "ReqNodeNotAvail": "nodes that it needs are down, drained or reserved",
    "Licenses": "a licence is not free",
    "Reservation": "it waits for its reservation",
    "Prolog": "its node is being prepared",
}


def command(verb: str, folder: Path) -> str:
    """Return the command for a sweep as one can type it into a shell.

    >>> command("resume", Path("outputs/my sweep"))
    "hpc-sweep resume 'outputs/my sweep'"
    """
    return f"hpc-sweep {verb} {shlex.quote(str(folder))}"


def holds(reason: str) -> bool:
    """Tell whether a task with this reason waits until a person acts."""
    return any(name in HOLDING for name in _names(reason)) or "held" in reason


def words(reason: str) -> str:
    """Return a reason as a person would say it; one that we do not know stays in Slurm's own words."""
    said = [HOLDING[name][0] if name in HOLDING else WAITING.get(name, _limit(name)) for name in _names(reason)]
    return ", ".join(dict.fromkeys(said))


def remedy(place: Place, folder: Path) -> str:
    """Return the command that brings a place on its way again; empty where nothing has to be done."""
    if place.standing.value == "held":
        known = [HOLDING[name][1] for name in _names(place.reason) if name in HOLDING]
        pattern = known[0] if known else RELEASE if place.job else ""
        return pattern.format(job=place.job, folder=shlex.quote(str(folder)))
    return command("resume", folder) if place.standing.value in {"unclear", "not submitted"} else ""


def explained(places: Iterable[Place], folder: Path) -> list[str]:
    """Return one sentence for all shards that stand alike, and one for the steward, where there is something to say."""
    groups: dict[tuple[bool, str, str], list[Place]] = defaultdict(list)
    for place in places:
        if place.standing.value not in {"running", "over"} and not _waits_for_arrays(place):
            groups[place.shard == STEWARD, place.standing.value, place.reason].append(place)
    return [_sentence(group, folder) for group in groups.values()]


def _waits_for_arrays(place: Place) -> bool:
    return place.shard == STEWARD and place.reason == "Dependency"


def _sentence(group: list[Place], folder: Path) -> str:
    first = group[0]
    which = f"Shard {first.shard}" if len(group) == 1 else f"{len(group)} shards (from {first.shard})"
    which = "The steward, which collects" if first.shard == STEWARD else which
    why = f": {words(first.reason) if first.state else first.reason}" if first.reason else ""
    todo = remedy(first, folder)
    return f"{which}: {first.standing.value}{why}." + (f" Type: {todo}" if todo else "")


def _names(reason: str) -> list[str]:
    """Take a reason apart; Slurm adds nodes and the like in brackets."""
    whole = reason.strip("()")
    if whole in HOLDING:
        return [whole]
    return [name.strip().partition(" ")[0] for name in whole.split(",") if name.strip()]


def _limit(name: str) -> str:
    if name.startswith(("QOS", "Assoc")):
        return f"a limit of your QOS or account is met ({name})"
    return name
