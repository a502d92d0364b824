"""The chaos soak, as long as CI can bear it; `make soak FAULTS=500` is the long one."""

import pytest

from tests.faults.drill import run_calmly
from tests.faults.soak import printed, soak

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]

GRID = ("x=1,2,3,4,5,6", "seed=" + ",".join(map(str, range(1, 13))))


def test_a_sweep_under_sixty_faults_comes_to_what_a_calm_one_comes_to(devcluster, tmp_path):
    """Nothing is lost, replaced, published twice or decided otherwise, and every sweep of it ends."""
    calm = run_calmly(tmp_path / "calm", grid=GRID)
    settings = ("pace.seconds=0.6", "pace.save_every=3", "hydra.launcher.trials_per_shard=6")
    toll = soak(devcluster, tmp_path, calm, grid=GRID, seed=20261, faults=60, period=1.0, settings=settings)
    print(printed(toll))  # noqa: T201 for -rP

    assert toll.faults >= 60
    assert toll.clean
