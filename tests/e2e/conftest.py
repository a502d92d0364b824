"""The walk on a cluster needs a cluster."""

from tests.integration.slurm_fixture import devcluster as devcluster  # noqa: PLC0414 because pytest finds it by name
