"""Shows how far a long loop over all cores is: a bar on a terminal, two plain lines in a log."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


def available_cores() -> int:
    """Count the cores that this process may use; macOS cannot tell and gives all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def track(items: Iterable[Item], total: int, text: str) -> Iterator[Item]:
    """Yield ``items`` unchanged and say on stderr that ``text`` is under way; ``total`` is their number."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield from _in_lines(items, total, text, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, total=total, description=text)


def _in_lines(items: Iterable[Item], total: int, text: str, console: Console) -> Iterator[Item]:
    start = time.monotonic()
    console.print(f"{text}: {total:,}", soft_wrap=True)
    yield from items
    console.print(f"{text}: done in {time.monotonic() - start:.1f} s", soft_wrap=True)
