"""Text as a terminal takes it: without power over it, and with paths as one would type them."""

from __future__ import annotations

from pathlib import Path


def printable(text: str) -> str:
    """Return a text without the control characters by which it could act on a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


def near(path: Path) -> str:
    """Return a path as one would type it here: relative when it lies below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
