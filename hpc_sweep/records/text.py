"""JSON in one form only, the digest of a value, and texts that carry their own checksum."""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from typing import TYPE_CHECKING, Any, NoReturn

from hpc_sweep.errors import CorruptRecordError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
SEAL = "sha256"
"""The key under which a sealed object has the checksum of its text; for this the checksum itself is left empty."""

_LARGEST = sys.float_info.max
_OTHER = bytes(byte for byte in range(256) if byte not in b"[]{}")


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN; ValueError or TypeError otherwise."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """Return the sha256 of a value's canonical JSON."""
    return sha256(canonical(value))


def sha256(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def parse(text: str) -> Any:  # noqa: ANN401 because JSON has no narrower type
    """Parse JSON strictly: no NaN, no infinite numbers, no duplicate keys, at most 32 levels; ValueError otherwise."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    if not _surely_shallow(text):
        _limit_depth(value, MAX_DEPTH)
    return value


def seal(value: Mapping[str, Any], rows: Iterable[str] = ()) -> str:
    """Return an object's line, with the checksum of all lines in it, and the lines of rows below it."""
    place = uuid.uuid4().hex
    text = "\n".join([canonical({**value, SEAL: place}), *rows]) + "\n"
    return text.replace(place, sha256(text.replace(place, "", 1)), 1)


def unseal(text: str) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return a sealed object, its checksum still in it, and its rows; ValueError or TypeError if a byte was changed."""
    if not text.endswith("\n"):
        raise ValueError("its end is missing")
    first, *rows = text[:-1].split("\n")
    head = parse(first)
    if not isinstance(head, dict) or not isinstance(head.get(SEAL), str):
        raise TypeError("it has no checksum")
    if sha256(text.replace(head[SEAL], "", 1)) != head[SEAL]:
        raise ValueError("its checksum does not fit its content")
    return head, tuple(parse(row) for row in rows)


def corrupt(path: Path, reason: str, next_step: str = "") -> CorruptRecordError:
    """Return the error that names a record that cannot be used."""
    return CorruptRecordError(
        f"A record cannot be used: {reason}.",
        where=f"File: {path}",
        next_step=next_step or "Nothing was deleted; restore it from a copy, or move it away to lose what it holds.",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not -_LARGEST <= number <= _LARGEST:
        raise ValueError(f"{digits} is too large for a number")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _surely_shallow(text: str) -> bool:
    """Tell quickly that brackets are nested at most 32 deep; False when that takes a closer look.

    What is left of a text are its brackets; each round takes away the innermost ones, at most two levels of them.
    """
    brackets = text.encode("utf-8", "surrogatepass").translate(None, _OTHER)
    for _ in range(MAX_DEPTH // 2):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return True
    return False


def _limit_depth(value: object, left: int) -> None:
    if left == 0:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        if isinstance(child, (dict, list)):
            _limit_depth(child, left - 1)
