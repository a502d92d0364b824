"""Overrides of single values, in Hydra's grammar, for a configuration that is frozen."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpc_sweep.compose.trials import parse
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hydra.core.override_parser.types import Override


def sweep_and_changes(arguments: Sequence[str]) -> tuple[Path, Callable[[DictConfig], DictConfig]]:
    """Return the folder that ``sweep=<dir>`` names, and what makes the other overrides on a configuration."""
    named = [text.removeprefix("sweep=") for text in arguments if text.startswith("sweep=")]
    if not named:
        raise UserError("Which sweep's winner is meant is not said.", next_step="Type sweep=<dir>, the sweep's folder.")
    rest = parse([text for text in arguments if not text.startswith("sweep=")])
    return Path(_unquoted(named[-1])), partial(changed, overrides=rest)


def _unquoted(text: str) -> str:
    """Return a folder's name as it was meant, with or without the quotes of Hydra's grammar."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return str(parse([f"sweep={text}"])[0].value())
    return text


def changed(cfg: DictConfig, overrides: Sequence[Override]) -> DictConfig:
    """Return a configuration with single values replaced; UserError for a key that it does not have."""
    OmegaConf.set_struct(cfg, value=True)
    for override in overrides:
        _refuse_structure(override, cfg)
        try:
            OmegaConf.update(cfg, override.key_or_group, override.value())
        except OmegaConfBaseException as error:
            raise UserError(
                f"The winning configuration cannot take {override.input_line}: {str(error).splitlines()[0]}",
                next_step=f"Its keys are {', '.join(map(str, cfg))}.",
            ) from None
    return cfg


def _refuse_structure(override: Override, cfg: DictConfig) -> None:
    """Refuse what would change more than one value: the configuration is frozen, its groups are gone."""
    node = OmegaConf.select(cfg, override.key_or_group)
    if override.is_add() or override.is_delete() or override.is_sweep_override() or OmegaConf.is_config(node):
        raise UserError(
            f"{override.input_line} changes more than one value of the winning configuration.",
            next_step="Name the single value, for example model.dropout=0.3",
        )
