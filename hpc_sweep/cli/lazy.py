"""Loading what a verb needs only when that verb is typed: the libraries of the report take longer than most answers."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Verb:
    """A verb before it is loaded: ``place`` is ``module:name``, ``help`` the first sentence of its help."""

    place: str
    help: str


def load(place: str) -> Any:  # noqa: ANN401 because a module holds anything
    """Import what is at ``module:name``, or the whole ``module``, and return it."""
    module, _, name = place.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, name) if name else loaded


class LazyGroup(click.Group):
    """A group of verbs, each of which is imported when it is called, or asked for its own help."""

    def __init__(self, *given: Any, verbs: Mapping[str, Verb], **more: Any) -> None:  # noqa: ANN401 as click takes it
        super().__init__(*given, **more)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs."""
        return sorted({*super().list_commands(ctx), *self._verbs})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, imported now; None when there is none of this name."""
        if cmd_name not in self._verbs:
            return super().get_command(ctx, cmd_name)
        command: click.Command = load(self._verbs[cmd_name].place)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of verbs as click does, by stand-ins, so that none is imported."""
        stand_ins = {name: click.Command(name, help=verb.help) for name, verb in self._verbs.items()}
        click.Group(self.name, commands=stand_ins).format_commands(ctx, formatter)
