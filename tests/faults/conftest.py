"""A cluster for faults, the calm sweep that every sweep under faults is compared with, and drills."""

import pytest

from tests.faults.drill import Drill, run_calmly
from tests.faults.nemesis import Scene
from tests.integration.slurm_fixture import devcluster as devcluster  # noqa: PLC0414 because pytest finds it by name


@pytest.fixture(scope="session")
def calm(tmp_path_factory):
    """Return the grid of the matrix, swept without a fault."""
    return run_calmly(tmp_path_factory.mktemp("calm") / "sweep")


@pytest.fixture
def drill(devcluster, tmp_path):
    """Return a sweep to be, on a cluster that is whole before and after."""
    devcluster.verb("up")
    yield Drill(devcluster, tmp_path / "sweep")
    devcluster.verb("up", check=False)
    devcluster.run("scancel", "--user=root", "--quiet", check=False)
    devcluster.run("scancel", "--me", "--quiet", check=False)


@pytest.fixture
def scene(drill):
    """Return where faults happen; what they leave behind is mended in the end."""
    scene = Scene(drill)
    yield scene
    scene.pay(everything=True)
