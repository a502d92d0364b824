"""The data set in the package: rendered clips of eleven instruments as 32 x 32 pictures, with no audio to install."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from hpc_sweep.records import digest
from hpc_sweep.tasks.instruments.features import FeatureSet
from hpc_sweep.tasks.instruments.irmas import CLASSES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = 32


def embedded() -> FeatureSet:
    """Return the data set of the package."""
    packaged = files("hpc_sweep.tasks.instruments") / "embedded" / "embedded.npz"
    with packaged.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        pictures, labels, groups = arrays["pictures"], arrays["labels"], arrays["groups"]
    pictures.setflags(write=False)
    fingerprint = _fingerprint(pictures, labels, groups)
    return FeatureSet(pictures, labels.astype(np.int64), groups.astype(np.int64), CLASSES, fingerprint)


def write_embedded(path: Path, source: FeatureSet) -> None:
    """Write ``source`` in the form that :func:`embedded` reads, beside and renamed."""
    beside = path.with_name(f".{path.name}.npz")
    np.savez_compressed(
        beside,
        pictures=source.pictures,
        labels=source.labels.astype(np.uint8),
        groups=source.groups.astype(np.uint16),
    )
    beside.replace(path)


def _fingerprint(pictures: NDArray[np.uint8], labels: NDArray[np.uint8], groups: NDArray[np.uint16]) -> str:
    content = hashlib.sha256(pictures.tobytes()).hexdigest()
    return digest({"content": content, "labels": labels.tolist(), "groups": groups.tolist(), "classes": CLASSES})
