"""What every test may use."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def require(present, what, remedy):
    """Skip a test on a laptop that lacks an external part, and fail it in CI, where the part belongs."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing in CI: {remedy}")
    pytest.skip(f"{what} is missing: {remedy}")


@pytest.fixture(autouse=True)
def own_environment():
    """Give every test the environment back that it found: a supervisor in this process sets what its workers need."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if name != "PYTEST_CURRENT_TEST"})


@pytest.fixture
def shared_data():
    """Return the folder of data that lies beside the repository in CI."""
    folder = ROOT.parent / "shared" / "data"
    require(folder.is_dir(), "the shared test data", f"put them into {folder}")
    return folder


@pytest.fixture
def run_python(tmp_path):
    """Run the tests' own Python in a folder of its own, as a shell would."""

    def run(*arguments, cwd=tmp_path, env=None, check=False):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=check,
        )

    return run


@pytest.fixture
def need():
    """Name a program that the test needs."""

    def check(program, remedy):
        require(shutil.which(program) is not None, program, remedy)

    return check


def pytest_collection_modifyitems(items):
    """Skip what needs a GPU where there is none; that is no failure in CI, which has none."""
    if shutil.which("nvidia-smi"):
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def wait_for(condition, seconds=30.0):
    """Wait until a condition holds and return what it said; fail when it never does."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.05)
    return found
