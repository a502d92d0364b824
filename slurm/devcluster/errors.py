"""The one error of devcluster."""

from __future__ import annotations


class DevclusterError(Exception):
    """What went wrong, where, and what to type next; ``status`` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
