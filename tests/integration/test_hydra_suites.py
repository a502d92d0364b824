"""Hydra's own published suites for launchers, run against `sharded_local`: any Hydra app can use it."""

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)
from hydra.version import VersionBase, __compat_version__

from hydra_plugins.hpc_sweep.launcher import ShardedLauncher


@pytest.fixture(autouse=True)
def as_in_a_fresh_process():
    """Undo what other tests told Hydra of its version: the suites expect its default."""
    base = VersionBase.instance()
    before, base.version_base = base.version_base, __compat_version__
    yield
    base.version_base = before


AS_HYDRA_EXPECTS = ["hydra.launcher.detach=false", "hydra.launcher.existing=anew"]


def test_hydra_discovers_the_launcher():
    """Hydra finds the plugin by itself."""
    found = {(launcher.__module__, launcher.__name__) for launcher in Plugins.instance().discover(Launcher)}

    assert (ShardedLauncher.__module__, ShardedLauncher.__name__) in found


@pytest.mark.parametrize(("launcher_name", "overrides"), [("sharded_local", AS_HYDRA_EXPECTS)])
class TestLauncher(LauncherTestSuite):
    """One job, two jobs, config groups, resolvers, mandatory defaults."""


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("sharded_local", [*AS_HYDRA_EXPECTS, "hydra.sweeper.max_batch_size=2"])]
)
class TestBatchedSweeper(BatchedSweeperTestSuite):
    """Three batches of two jobs."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=sharded_local", *AS_HYDRA_EXPECTS])],
)
class TestIntegration(IntegrationTestSuite):
    """Real programs: names, folders, working directories."""
