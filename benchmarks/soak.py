"""The long chaos soak: sweeps of tiny trials on the development cluster under faults of a seeded nemesis.

    make soak FAULTS=500                                  the same as
    python benchmarks/soak.py --faults 500 --seed 1       prints its figures as JSON; exit status 1 when not clean

What it did, and when, is in `nemesis-*.jsonl` in its folder. The whole of it follows from the seed as far as chance
goes; what each fault meets depends on the machine's pace.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.faults.drill import run_calmly
from tests.faults.soak import printed, soak
from tests.integration.slurm_fixture import private_cluster


def main() -> int:
    """Soak, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=500, help="after how many faults it ends (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="the nemesis's seed (default: 1)")
    parser.add_argument("--seeds", type=int, default=40, help="replicates of each of the six configurations")
    parser.add_argument("--period", type=float, default=2.5, help="seconds between two faults, on average")
    parser.add_argument("--folder", type=Path, help="where its sweeps are kept (default: a temporary folder)")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    grid = ("x=1,2,3,4,5,6", "seed=" + ",".join(map(str, range(1, given.seeds + 1))))
    calm = run_calmly(folder / "calm", grid=grid)
    with private_cluster() as cluster:
        toll = soak(
            *(cluster, folder, calm),
            grid=grid,
            seed=given.seed,
            faults=given.faults,
            period=given.period,
            settings=("pace.seconds=0.15", "pace.save_every=3"),
        )
    print(printed(toll))
    return 0 if toll.clean else 1


if __name__ == "__main__":
    sys.exit(main())
