"""Hydra sweeps on Slurm: a frozen plan, warm shards, and a winner that comes with its uncertainty."""

__version__ = "0.1.0"
