"""Properties: what must hold whatever happens, in whatever order. Those that take minutes are marked `slow`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
hypothesis.settings.load_profile("repeatable")

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory():
    """Return a folder on a file system in memory, where there is one: there, thousands of fsyncs cost nothing."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)
