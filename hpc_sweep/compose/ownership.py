"""Taking a folder for a sweep: a new one, the extension of one that is there, or a fresh start beside its records."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from hpc_sweep import ledger, paths
from hpc_sweep.cluster import states
from hpc_sweep.cluster.reasons import command
from hpc_sweep.compose.provenance import versions
from hpc_sweep.compose.snapshot import changed_files, describe
from hpc_sweep.errors import ForeignSweepError, UserError
from hpc_sweep.identity import resolved, restored, without
from hpc_sweep.plan import read_plan
from hpc_sweep.records import canonical, digest, sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from hpc_sweep.compose.settings import Settings
    from hpc_sweep.compose.snapshot import Root
    from hpc_sweep.compose.trials import Composed

RECORDS = (
    "sweep.json",
    "plan",
    "submissions",
    "shards",
    "code",
    "merged",
    "decision",
    "production",
    "mode.json",
    "choice.json",
)

NAMED = 5
"""How many differences a refusal names."""

_MISSING = object()


def own(
    sweep: paths.Sweep, batch: Sequence[Composed], settings: Settings, roots: Sequence[Root], data: str
) -> ledger.Identity:
    """Take the folder with the first jobs of a sweep, and return the identity of the new or the extended one.

    ``roots`` are the code roots, ``data`` the fingerprint of the data. ForeignSweepError: the folder has another sweep.
    """
    swept = {name for job in batch for name in job.trial.params} | {settings.objective.replicate or ""}
    base = base_of(batch[0].resolved, swept, settings.exclude)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    who, code = uuid.uuid4().hex, describe(roots)
    wanted = ledger.Identity(who, settings.objective, digest(base), code, data, versions(), created)
    return take(sweep, wanted, settings, base, roots)


def take(
    sweep: paths.Sweep,
    wanted: ledger.Identity,
    settings: Settings,
    base: Mapping[str, Any],
    roots: Sequence[Root],
) -> ledger.Identity:
    """Own the folder: publish `wanted`, or return the identity of the sweep that it extends.

    ``base`` is the base configuration whose digest `wanted` has, ``roots`` are its code roots. ForeignSweepError names
    what differs when the folder's sweep is another one.
    """
    sweep.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.existing == "anew" and sweep.identity.exists():
        _refuse_running(sweep)
        move_aside(sweep)
    if ledger.write_identity(sweep, wanted):
        return wanted
    if settings.existing == "refuse":
        raise ForeignSweepError(
            "The folder holds a sweep already.",
            where=f"Folder: {sweep.root}",
            next_step="Give another hydra.sweep.dir, or type hydra.launcher.existing=extend to add trials to this one.",
        )
    found = ledger.read_identity(sweep)
    unsaid = found.objective.mode is None
    found = replace(found, objective=replace(found.objective, mode=wanted.objective.mode)) if unsaid else found
    differs = _differences(sweep, found, wanted, settings, base)
    differs = differs or _code_difference(sweep, found, wanted, settings, roots)
    if differs:
        raise ForeignSweepError(
            f"The folder holds another sweep: {'; '.join(differs[:NAMED])} differs from what you asked for.",
            where=f"Folder: {sweep.root}",
            next_step=_way_out(differs),
        )
    if unsaid and found.objective.mode is not None:
        ledger.say_mode(sweep, found.objective.mode)
    return found


def swept_names(sweep: paths.Sweep) -> list[str]:
    """Return the keys that the sweep of a folder varies, without the replicate; none when it has no plan yet."""
    if not sweep.identity.exists():
        return []
    trials = read_plan(sweep.plan, sweep=ledger.read_identity(sweep).sweep).trials
    return list(trials[0].params) if trials else []


def move_aside(sweep: paths.Sweep) -> Path:
    """Move the records of the folder's sweep to `previous/`, where nothing reads them, and return the new place."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    place = sweep.previous / f"{stamp}-{uuid.uuid4().hex[:6]}"
    place.mkdir(parents=True, mode=0o700)
    # sweep.json goes last: until then the folder is owned, and an interrupted move can be made again.
    for name in (*RECORDS[1:], RECORDS[0]):
        if (sweep.root / name).exists():
            (sweep.root / name).rename(place / name)
    sync_folder(sweep.root)
    return place


def _refuse_running(sweep: paths.Sweep) -> None:
    """Refuse to set records aside to which jobs still write."""
    live = [place for place in states.now(sweep).values() if place.standing in states.LIVE]
    if live:
        raise UserError(
            f"The sweep of this folder still has jobs: {len(live)} run or wait.",
            where=f"Folder: {sweep.root}",
            next_step=f"Give another hydra.sweep.dir, or type {command('cancel', sweep.root)} first.",
        )


def base_of(configuration: Mapping[str, Any], swept: Collection[str], exclude: Collection[str]) -> dict[str, Any]:
    """Return what all trials of a sweep share: a resolved configuration without the swept and the excluded keys."""
    return without(configuration, {*swept, *exclude})


def _differences(
    sweep: paths.Sweep, found: ledger.Identity, wanted: ledger.Identity, settings: Settings, base: Mapping[str, Any]
) -> list[str]:
    """Return the keys by which trials could not be compared with those of the sweep that is there."""
    if found.objective != wanted.objective:
        return _keys(found.objective.as_json(), wanted.objective.as_json(), "objective.")
    if found.base != wanted.base:
        return _base_keys(sweep, found, settings, base)
    if not set(wanted.data.split("+")) <= set(found.data.split("+")):
        return [f"the data ({found.data[:12] or 'none'} there, {wanted.data[:12] or 'none'} here)"]
    return []


def _code_difference(
    sweep: paths.Sweep, found: ledger.Identity, wanted: ledger.Identity, settings: Settings, roots: Sequence[Root]
) -> list[str]:
    """Return in which files the code differs, unless a person allows it."""
    if found.code["sha256"] == wanted.code["sha256"] or settings.allow_code_change:
        return []
    files = changed_files(sweep, found.code.get("roots", {}), roots)
    return [f"the code ({', '.join(files[:NAMED])})" if files else "the code"]


def _base_keys(sweep: paths.Sweep, found: ledger.Identity, settings: Settings, base: Mapping[str, Any]) -> list[str]:
    """Return the keys in which the planned base configuration and the wanted one differ."""
    plan = read_plan(sweep.plan, sweep=found.sweep)
    if not plan.trials:
        return ["the base configuration"]
    first = plan.trials[0]
    planned = resolved(OmegaConf.create(restored(plan.part_of(first).configuration(first))), settings.volatile)
    there = base_of(planned, {*first.params, settings.objective.replicate or ""}, settings.exclude)
    return _keys(there, base) or ["the set of swept keys"]


def _keys(there: Mapping[str, Any], here: Mapping[str, Any], above: str = "") -> list[str]:
    """Return the dotted keys in which two configurations differ, with both values."""
    found = []
    for key in sorted(there.keys() | here.keys()):
        one, other = there.get(key, _MISSING), here.get(key, _MISSING)
        if isinstance(one, dict) and isinstance(other, dict):
            found += _keys(one, other, f"{above}{key}.")
        elif one is _MISSING or other is _MISSING or canonical(one) != canonical(other):
            found.append(f"{above}{key} ({_said(one)} there, {_said(other)} here)")
    return found


def _said(value: object) -> str:
    return "swept or not set" if value is _MISSING else canonical(value)[:40]


def _way_out(differs: Sequence[str]) -> str:
    if differs[0].startswith("the code"):
        return "Type hydra.launcher.allow_code_change=true to extend it nevertheless, or give another hydra.sweep.dir."
    return "Give another hydra.sweep.dir, or type hydra.launcher.existing=anew to set the old records aside."
