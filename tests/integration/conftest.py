"""What runs on a real Slurm needs one."""

from tests.integration.slurm_fixture import devcluster as devcluster  # noqa: PLC0414 because pytest finds it by name
