"""Taking a folder for a sweep: a new one, the extension of one that is there, or a fresh start beside its records."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hpc_sweep import ledger, paths
from hpc_sweep.errors import ForeignSweepError
from hpc_sweep.identity import without
from hpc_sweep.records import digest, sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from hpc_sweep.compose.settings import Settings

RECORDS = ("sweep.json", "plan", "submissions", "shards", "merged", "decision", "production")


def identity(
    settings: Settings, base: str, code: Mapping[str, Any], data: str, versions: Mapping[str, str]
) -> ledger.Identity:
    """Make the identity of a new sweep."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return ledger.Identity(uuid.uuid4().hex, settings.objective, base, code, data, versions, created)


def take(sweep: paths.Sweep, wanted: ledger.Identity, settings: Settings) -> ledger.Identity:
    """Own the folder: publish `wanted`, or return the identity of the sweep that it extends.

    ForeignSweepError names what differs when the folder's sweep is another one.
    """
    sweep.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.existing == "anew" and sweep.identity.exists():
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
    _refuse_other(sweep, found, wanted, settings)
    return found


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


def base_of(configuration: Mapping[str, Any], swept: Collection[str], exclude: Collection[str]) -> dict[str, Any]:
    """Return what all trials of a sweep share: a resolved configuration without the swept and the excluded keys."""
    return without(configuration, {*swept, *exclude})


def _refuse_other(sweep: paths.Sweep, found: ledger.Identity, wanted: ledger.Identity, settings: Settings) -> None:
    checks = {
        "its objective": found.objective == wanted.objective,
        "its data": found.data == wanted.data,
        "its base configuration": found.base == wanted.base,
        "its code": found.code["sha256"] == wanted.code["sha256"] or settings.allow_code_change,
    }
    for what, same in checks.items():
        if not same:
            raise ForeignSweepError(
                f"The folder holds another sweep: {what} differs from what you asked for.",
                where=f"Folder: {sweep.root}",
                next_step=_way_out(what),
            )


def _way_out(what: str) -> str:
    if what == "its code":
        return "Type hydra.launcher.allow_code_change=true to extend it nevertheless, or give another hydra.sweep.dir."
    return "Give another hydra.sweep.dir, or type hydra.launcher.existing=anew to set the old records aside."


def base_digest(base: Mapping[str, Any]) -> str:
    """Return the digest that `sweep.json` keeps of a base configuration."""
    return digest(dict(base))
