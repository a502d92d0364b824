"""The parameters of the two launchers, as Hydra checks them.

This module's name begins with an underscore: Hydra executes the others without registering them, which dataclasses
cannot bear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class ObjectiveConf:
    """What a foreign app's sweep is judged by; our own tasks say it in their configuration."""

    metric: str | None = None
    mode: str | None = None
    at: str | None = None
    replicate: str | None = None
    constraints: list[str] | None = None
    baseline: dict[str, Any] | None = None
    confirm: int | None = None


@dataclass
class IdentityConf:
    """Keys that cannot change a result, and resolvers whose value only a running job knows."""

    exclude: list[str] = field(default_factory=list)
    volatile: list[str] = field(default_factory=list)


@dataclass
class ShardedConf:
    """What both launchers take."""

    _target_: str = "hydra_plugins.hpc_sweep.launcher.ShardedLauncher"
    executor: str = "local"
    shards: int | None = None
    trials_per_shard: int | None = None
    cpus_per_task: int = 1
    stack_size: Any = "auto"  # an int, or a str: of a wrong type Hydra would say what no person can read
    isolate: bool = False
    max_trials: int = 100_000
    retries: int = 2
    no_progress_min: float | None = None
    existing: str = "extend"
    allow_code_change: bool = False
    dry_run: bool = False
    detach: bool = False
    objective: ObjectiveConf = field(default_factory=ObjectiveConf)
    identity: IdentityConf = field(default_factory=IdentityConf)


@dataclass
class ShardedLocalConf(ShardedConf):
    """Shards on this machine, `n_jobs` at a time (default: one for each core)."""

    n_jobs: int | None = None


@dataclass
class StewardConf:
    """The dependent job that collects and submits what is owed, `max_rounds` times at most; it needs no GPU."""

    partition: str | None = None
    timeout_min: int = 30
    mem_gb: float | None = None
    max_rounds: int = 10


@dataclass
class ShardedSlurmConf(ShardedConf):
    """Shards as one Slurm job array; the names are those of hydra-submitit-launcher."""

    executor: str = "slurm"
    trials_per_shard: int | None = 4
    detach: bool = True
    poll_seconds: float = 10.0
    timeout_min: int = 60
    gpus_per_node: int | None = None
    gpus_per_task: int | str | None = None
    cpus_per_gpu: int | None = None
    mem_gb: float | None = None
    mem_per_gpu: str | None = None
    mem_per_cpu: str | None = None
    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    comment: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    nodelist: str | None = None
    exclusive: bool | None = None
    gres: str | None = None
    array_parallelism: int = 256
    signal_delay_s: int = 120
    setup: list[str] | None = None
    srun_args: list[str] | None = None
    use_srun: bool = True
    stderr_to_stdout: bool = True
    additional_parameters: dict[str, Any] = field(default_factory=dict)
    steward: StewardConf = field(default_factory=StewardConf)
