r"""Checkpoints of one trial: one file for each generation, the two newest kept, none ever half there.

::

    epoch-000012.ckpt     hpc-sweep checkpoint <sha256 of the header>\n
                          <header: JSON of schema, digest, configuration, data, epoch, torch, sha256 of the payload>\n
                          <payload: torch.save of tensors, numbers, texts, lists and dicts>

A file is written beside, flushed, fsynced and renamed. A file whose checksums fit but that another configuration, data
or torch wrote is refused; one whose checksums do not fit is passed over for the generation before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from hpc_sweep.errors import SweepError, UserError
from hpc_sweep.plan import differences
from hpc_sweep.records import canonical, parse, sync_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA = 1
GENERATIONS = 2

_MAGIC = "hpc-sweep checkpoint "
_NAME = re.compile(r"^epoch-([0-9]{6,})\.ckpt$")
_BESIDE = ".epoch-*"


@dataclass(frozen=True)
class Loaded:
    """A checkpoint read back, and the names of newer ones that could not be read."""

    epoch: int
    state: dict[str, Any]
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one trial in one folder.

    Parameters
    ----------
    folder
        Made when the first checkpoint is saved. One process writes into it at a time.
    digest, describe
        What the trial's configuration is: its digest, and its fields as JSON, to name one that differs.
    data
        The fingerprint of the data.
    """

    folder: Path
    digest: str
    describe: Mapping[str, Any] = field(repr=False)
    data: str

    def save(self, epoch: int, state: Mapping[str, Any]) -> None:
        """Keep the state after an epoch and drop all but the newest two; SweepError when the disk refuses."""
        path = self.folder / f"epoch-{epoch:06d}.ckpt"
        beside = self.folder / f".{path.name}-{uuid.uuid4().hex}"
        payload = io.BytesIO()
        torch.save(dict(state), payload)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(beside, _parts(self._header(epoch, payload.getbuffer()), payload.getbuffer()))
            beside.replace(path)
            sync_folder(self.folder)
            for old in self._newest_first()[GENERATIONS:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise SweepError(
                f"A checkpoint could not be written: {error.strerror}.",
                where=f"File: {path}",
                next_step="Make room there and start again; the trial goes on from the checkpoint before it.",
            ) from error

    def load(self, device: torch.device) -> Loaded | None:
        """Return the newest checkpoint that is whole, its tensors on the device, or None.

        What a dead writer left half written is removed. Raises UserError when a whole checkpoint belongs to another
        configuration, data or torch.
        """
        for leftover in self.folder.glob(_BESIDE):
            leftover.unlink(missing_ok=True)
        unreadable: list[str] = []
        for path in self._newest_first():
            try:
                header, payload = _read(path)
            except (OSError, ValueError):
                unreadable.append(path.name)
                continue
            self._refuse_foreign(path, header)
            try:
                state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
            except (RuntimeError, pickle.UnpicklingError):
                unreadable.append(path.name)
                continue
            return Loaded(header["epoch"], state, tuple(unreadable))
        return None

    def _newest_first(self) -> list[Path]:
        found = {path: _NAME.match(path.name) for path in self.folder.glob("epoch-*.ckpt")}
        return sorted((p for p, match in found.items() if match), key=_epoch, reverse=True)

    def _header(self, epoch: int, payload: memoryview) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "digest": self.digest,
            "configuration": dict(self.describe),
            "data": self.data,
            "epoch": epoch,
            "torch": str(torch.__version__),
            "sha256": hashlib.sha256(payload).hexdigest(),
        }

    def _refuse_foreign(self, path: Path, header: Mapping[str, Any]) -> None:
        expected = {"schema": SCHEMA, "data": self.data, "torch": str(torch.__version__), "digest": self.digest}
        differing = [name for name, value in expected.items() if header[name] != value]
        if not differing:
            return
        what = {
            "schema": f"has the form {header['schema']}, and this version writes {SCHEMA}",
            "data": f"was trained on data {header['data'][:12]}, and the data are now {self.data[:12]}",
            "torch": f"was written by torch {header['torch']}, and this is torch {torch.__version__}",
            "digest": f"belongs to another configuration: {_first_difference(header['configuration'], self.describe)}",
        }[differing[0]]
        raise UserError(
            f"The checkpoint {what}.",
            where=f"File: {path}",
            next_step=f"Restore what it was written with, or remove the folder {path.parent} to train from the start.",
        )


def _epoch(path: Path) -> int:
    return int(path.stem.removeprefix("epoch-"))


def _parts(header: Mapping[str, Any], payload: memoryview) -> list[bytes | memoryview]:
    text = canonical(header)
    first = f"{_MAGIC}{hashlib.sha256(text.encode()).hexdigest()}"
    return [f"{first}\n{text}\n".encode(), payload]


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return header and payload of a whole file; ValueError for any other."""
    first, text, payload = path.read_bytes().split(b"\n", 2)
    if first != f"{_MAGIC}{hashlib.sha256(text).hexdigest()}".encode():
        raise ValueError("the header is damaged")
    header: dict[str, Any] = parse(text.decode())
    if hashlib.sha256(payload).hexdigest() != header["sha256"]:
        raise ValueError("the payload is damaged")
    return header, payload


def _first_difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    path, _ = next(iter(differences(dict(theirs), dict(ours))), ((), None))
    if not path:
        return "its digest differs"
    key = ".".join(map(str, path))
    return f"{key} was {_at(theirs, path)!r} and is now {_at(ours, path)!r}"


def _at(configuration: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: Any = configuration
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return "absent"
        value = value[key]
    return value
