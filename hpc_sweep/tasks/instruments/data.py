"""The door to the data: takes the ``data`` node of a configuration, returns features, split and fingerprint.

The node's keys are ``source`` (``embedded`` or ``irmas``), ``root``, ``cache``, ``size``, ``split``, ``validation``,
``split_seed`` and, for ``irmas``, those of :class:`~hpc_sweep.tasks.instruments.logmel.LogMel`.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.embedded import SIZE, embedded
from hpc_sweep.tasks.instruments.features import FeatureSet, default_cache, features
from hpc_sweep.tasks.instruments.irmas import TRAINING_FOLDER, describe_counts, read_training, training_folder
from hpc_sweep.tasks.instruments.logmel import LogMel
from hpc_sweep.tasks.instruments.split import split

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

_IRMAS = f"data=irmas data.root=<folder that holds {TRAINING_FOLDER}>"


def open_data(data: Mapping[str, Any]) -> FeatureSet:
    """Return the features that ``data`` asks for, computing them when they are not cached yet.

    Raises ``UserError`` when the source is unknown, the root is missing or wrong, or a file is broken.
    """
    if data["source"] == "embedded":
        return _open_embedded(data)
    if data["source"] == "irmas":
        root = _root(data)
        return features(training_folder(root), read_training(root), _log_mel(data), _cache(data))
    what = f"There is no data source '{data['source']}'."
    raise UserError(what, where="data.source", next_step=f"data=embedded, or {_IRMAS}")


def open_split(data: Mapping[str, Any], source: FeatureSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the training and of the validation clips, as ``data`` asks for them."""
    fraction, seed = _number(data, "validation", float), _number(data, "split_seed", int)
    return split(source.labels, source.groups, fraction, int(seed), by=data["split"])


def prepare(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Fill the cache before anything is submitted; return sentences about the data that a person should see."""
    source = open_data(data)
    songs = len(set(source.groups.tolist()))
    summary = f"{len(source.labels):,} clips of {len(source.classes)} instruments in {songs:,} groups of songs."
    if data["source"] == "embedded":
        return (summary,)
    remark = describe_counts(read_training(_root(data)))
    return (summary, remark) if remark else (summary,)


def fingerprint(data: Mapping[str, Any]) -> str:
    """Return the digest of the data set that ``data`` asks for; it does not depend on where that lies."""
    return open_data(data).fingerprint


def _open_embedded(data: Mapping[str, Any]) -> FeatureSet:
    if data["size"] != SIZE:
        what = f"The embedded pictures are {SIZE} x {SIZE}, and the model asks for {data['size']} x {data['size']}."
        raise UserError(what, where="data.size", next_step=f"model=cnn_small, or {_IRMAS}")
    return embedded()


def _root(data: Mapping[str, Any]) -> Path:
    if not data["root"]:
        raise UserError("The folder of IRMAS is not given.", where="data.root", next_step=_IRMAS)
    return Path(data["root"]).expanduser()


def _cache(data: Mapping[str, Any]) -> Path:
    return Path(data["cache"]).expanduser() if data["cache"] else default_cache()


def _log_mel(data: Mapping[str, Any]) -> LogMel:
    kinds = {"fmin": float, "fmax": float}
    names = [field.name for field in fields(LogMel)]
    return LogMel(**{name: _number(data, name, kinds.get(name, int)) for name in names})


def _number(data: Mapping[str, Any], name: str, kind: type[float]) -> Any:  # noqa: ANN401 - int or float, as kind says
    try:
        return kind(data[name])
    except (TypeError, ValueError):
        what = f"'{data[name]}' is no number."
        raise UserError(what, where=f"data.{name}", next_step=f"data.{name}=<number>") from None
