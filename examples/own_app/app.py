"""A Hydra app that knows nothing of hpc_sweep: it fits a line by gradient descent and returns its error.

    python examples/own_app/app.py                                          one trial
    python examples/own_app/app.py -m lr=0.01,0.1,0.5 seed=1,2,3 hydra/launcher=sharded_local
    python examples/own_app/app.py -m lr=0.01,0.1,0.5 seed=1,2,3 hydra/launcher=sharded_slurm

Tell the launcher what is better, and the sweep ends with a winner:

    hydra.launcher.objective.metric=val/objective hydra.launcher.objective.mode=min
    hydra.launcher.objective.replicate=seed
"""

import random

import hydra
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=".", config_name="app")
def fit(cfg: DictConfig) -> float:
    """Return the squared error of the fitted slope on fresh points."""
    chance = random.Random(cfg.seed)
    points = [(x, 3.0 * x + chance.gauss(0, 0.1)) for x in (chance.uniform(-1, 1) for _ in range(2 * cfg.points))]
    training, fresh = points[: cfg.points], points[cfg.points :]
    slope = 0.0
    for _ in range(cfg.steps):
        slope -= cfg.lr * sum(2 * (slope * x - y) * x for x, y in training) / cfg.points
    return float(sum((slope * x - y) ** 2 for x, y in fresh) / cfg.points)


if __name__ == "__main__":
    fit()
