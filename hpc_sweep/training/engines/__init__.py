"""The ways to take one step of ``K`` trials; `hpc_sweep.training.engines.base.Engine` is the seam."""
