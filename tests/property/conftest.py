"""Properties: what must hold whatever happens, in whatever order. Long ones are marked `slow` and run by `-m slow`."""

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


def pytest_configure(config):
    """Declare the marker of the tests that take minutes."""
    config.addinivalue_line("markers", "slow: takes minutes; run with -m slow")


def pytest_collection_modifyitems(config, items):
    """Leave out what takes minutes unless it is asked for."""
    if "slow" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: pytest -m slow"))


@pytest.fixture
def memory():
    """Return a folder on a file system in memory, where there is one: there, thousands of fsyncs cost nothing."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)
