"""One trial in this process, or with ``-m`` a sweep of them.

python jobs/train.py                                    one trial on the embedded data
python jobs/train.py -m experiment=task11               18 trials, one warm worker for each core
python jobs/train.py -m experiment=task11 hydra/launcher=sharded_slurm
"""

import sys

import hydra
from omegaconf import DictConfig

from hpc_sweep.compose import here


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def train(cfg: DictConfig) -> float | None:
    """Train one trial and return its objective."""
    return here.train(cfg)


if __name__ == "__main__":
    sys.exit(here.run(train))
