"""The chaos soak, as long as CI can bear it; `make soak FAULTS=500` is the long one."""

import pytest

from tests.conftest import ROOT
from tests.faults.drill import Drill, calmly, run_calmly
from tests.faults.nemesis import FAULTS
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


TRAINING = ("epochs=4", "batch_size=64", "hydra.launcher.stack_size=1")
CELLS = ("model.dropout=0.3,0.5", "optimizer.lr=0.001,0.0005", "seed=1,2,3,4")


@pytest.mark.slow
def test_training_under_faults_comes_to_the_same_bytes(devcluster, tmp_path):
    """The shipped task with its engine fixed (`sequential`): twenty faults change no metric of any trial."""
    calm = calmly(Drill(None, tmp_path / "calm", app=ROOT / "jobs" / "train.py", own=TRAINING), grid=CELLS)
    kinds = set(FAULTS) - {"misbehave"}  # it takes no orders
    settings = ("hydra.launcher.trials_per_shard=4",)
    toll = soak(devcluster, tmp_path, calm, grid=CELLS, seed=7, faults=20, period=4.0, settings=settings, kinds=kinds)
    print(printed(toll))  # noqa: T201 for -rP

    assert toll.faults >= 20
    assert toll.clean
