"""Where the checkpoints of a shard's trials lie: in the attempt that wrote them, until their trial has an outcome.

What they contain is the business of `hpc_sweep.training.checkpoint`; here they are files whose names count epochs.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from hpc_sweep import paths

GENERATIONS = 2
"""How many of the newest are taken over: should the newest be damaged, the one before it is there."""

_NAME = re.compile(r"^epoch-([0-9]{6,})\.ckpt$")


def adopt(own: paths.Attempt, earlier: Sequence[paths.Attempt], trial: str) -> None:
    """Give an attempt the checkpoints with the most epochs that earlier attempts left of a trial.

    They are linked, or copied where links are missing; so an earlier attempt that still lives can damage nothing.
    Where two attempts reached the same epoch, the later one's file is taken.
    """
    found = {path.name: path for attempt in earlier for path in _kept(attempt.checkpoints(trial))}
    newest = sorted(found, key=_epoch, reverse=True)[:GENERATIONS]
    folder = own.checkpoints(trial)
    for name in newest:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _link(found[name], folder / name)


def reached(attempt: paths.Attempt) -> dict[str, int]:
    """Return up to which epoch an attempt has checkpoints, by trial."""
    try:
        folders = list(attempt.checkpoints("").iterdir())
    except OSError:
        return {}
    return {folder.name: max((_epoch(path.name) for path in _kept(folder)), default=0) for folder in folders}


def remove(attempts: Iterable[paths.Attempt], trials: Iterable[str]) -> None:
    """Remove the checkpoints of trials that have an outcome from the folders of attempts."""
    folders = [attempt for attempt in attempts if attempt.checkpoints("").is_dir()]
    for trial in trials:
        for attempt in folders:
            shutil.rmtree(attempt.checkpoints(trial), ignore_errors=True)


def _kept(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if _NAME.match(path.name)]
    except OSError:
        return []


def _epoch(name: str) -> int:
    return int(name.removeprefix("epoch-").removesuffix(".ckpt"))


def _link(source: Path, target: Path) -> None:
    """Take over one file; when it is gone meanwhile, there is one less to go on from."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        beside = target.with_name(f".{target.name}-{os.getpid()}")
        try:
            shutil.copyfile(source, beside)
            beside.replace(target)
        except OSError:
            beside.unlink(missing_ok=True)
