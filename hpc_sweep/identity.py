"""What a trial is: its task configuration as it was resolved at submit, without what cannot change the result."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpc_sweep.records import digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

VOLATILE = ("hydra", "now", "oc.env")
"""Resolvers whose value only a running job knows; they stay text in the identity."""

_ESCAPED = "\\${"

_NOT_FINITE = ("inf", "-inf", "nan")


def raw(cfg: DictConfig) -> dict[str, Any]:
    """Return a task configuration as JSON, its interpolations unresolved."""
    value: dict[str, Any] = plain(OmegaConf.to_container(cfg, resolve=False))
    return value


def resolved(cfg: DictConfig, volatile: Collection[str] = VOLATILE) -> dict[str, Any]:
    """Return a task configuration as JSON, resolved except for what `volatile` resolvers would say.

    What cannot be resolved here stays text too: the task may never ask for it.
    """
    text = OmegaConf.to_container(cfg, resolve=False)
    pattern = re.compile(r"\$\{\s*(?:" + "|".join(map(re.escape, sorted(volatile))) + r")\s*[:.]")
    copy = OmegaConf.create(_keep_text(text, pattern))
    try:
        value = OmegaConf.to_container(copy, resolve=True)
    except OmegaConfBaseException:
        value = _leaf_by_leaf(copy)
    result: dict[str, Any] = plain(value)
    return result


def trial_id(configuration: Mapping[str, Any], exclude: Iterable[str] = ()) -> str:
    """Return the digest of a resolved configuration without the excluded keys (dotted)."""
    return digest(without(configuration, exclude))


def without(configuration: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return a copy that lacks the given keys (dotted); a key that is not there is no error."""
    result = dict(configuration)
    for key in keys:
        head, _, rest = key.partition(".")
        if head not in result:
            continue
        if not rest:
            del result[head]
        elif isinstance(result[head], dict):
            result[head] = without(result[head], [rest])
    return result


def plain(value: object) -> Any:  # noqa: ANN401 because JSON has no narrower type
    """Return a value as JSON, without loss: what JSON has no form for becomes an object that names its type."""
    if isinstance(value, dict):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return {"enum": f"{type(value).__name__}.{value.name}"}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    return {type(value).__name__: value.hex() if isinstance(value, bytes) else str(value)}


def restored(value: Any) -> Any:  # noqa: ANN401 because JSON has no narrower type
    """Return JSON that `plain` made with its numbers that are not finite as numbers again."""
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"float"} and value["float"] in _NOT_FINITE:
        return float(value["float"])
    return {key: restored(item) for key, item in value.items()}


def _key(key: object) -> str:
    return key if isinstance(key, str) else f"{type(key).__name__}:{key}"


def _keep_text(value: Any, pattern: re.Pattern[str]) -> Any:  # noqa: ANN401 because JSON has no narrower type
    if isinstance(value, dict):
        return {key: _keep_text(item, pattern) for key, item in value.items()}
    if isinstance(value, list):
        return [_keep_text(item, pattern) for item in value]
    return value.replace("${", _ESCAPED) if isinstance(value, str) and pattern.search(value) else value


def _leaf_by_leaf(node: Any) -> Any:  # noqa: ANN401 because a node is a container or a value
    if isinstance(node, DictConfig):
        return {key: _value(node, key) for key in node}
    return [_value(node, index) for index in range(len(node))]


def _value(node: Any, key: Any) -> Any:  # noqa: ANN401 because a node is a container or a value
    try:
        value = node[key]
    except OmegaConfBaseException:
        return OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]
    return _leaf_by_leaf(value) if OmegaConf.is_config(value) else value
