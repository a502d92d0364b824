"""A real Slurm for tests: the fixture `devcluster`, clusters of a test's own, and waiting for conditions.

Give a folder of tests the fixture with this line in its `conftest.py`::

    from tests.integration.slurm_fixture import devcluster as devcluster
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.conftest import ROOT, require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPT = ROOT / "slurm" / "devcluster" / "devcluster"
SECONDS = 60.0
VERB_SECONDS = 180.0  # `up` has its own deadlines, and says more when they pass
POLL_SECONDS = 0.1
FOREIGN = ("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE", "SINFO", "SACCT")

Found = TypeVar("Found")


@dataclass(frozen=True)
class Devcluster:
    """A cluster in a folder; `run` speaks to it as a shell with its `SLURM_CONF` would.

    `user` is another user whom commands run as (the tests being root's), or None.
    """

    conf: Path
    env: dict[str, str]
    script: Path = SCRIPT
    user: str | None = None

    @property
    def folder(self) -> Path:
        """Return its state folder."""
        return self.conf.parent

    def run(self, *argv, check=True, **options) -> subprocess.CompletedProcess[str]:
        """Run a command against the cluster and capture its words; fail with them, unless `check` is false."""
        identity = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        defaults = {"env": self.env, "cwd": self.folder.parent, "timeout": SECONDS, "capture_output": True}
        done = subprocess.run(list(map(str, argv)), text=True, check=False, **(defaults | identity | options))
        assert not (check and done.returncode), f"{argv} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def verb(self, verb, *flags, **options) -> subprocess.CompletedProcess[str]:
        """Run `devcluster <verb> --dir <folder>`."""
        return self.run(self.script, verb, "--dir", self.folder, *flags, **({"timeout": VERB_SECONDS} | options))

    def sbatch(self, *argv, **options) -> str:
        """Submit a batch job; return its number."""
        return self.run("sbatch", "--parsable", *argv, **options).stdout.strip()

    def job(self, number, field) -> str:
        """Return a field of a job (`%T` state, `%N` nodes, `%r` reason), or "" when Slurm knows it no more."""
        query = ("squeue", "--noheader", "--states=all", f"--jobs={number}", f"--format={field}")
        return self.run(*query, check=False).stdout.strip()

    def pid(self, daemon) -> int:
        """Return the process number that a daemon (`slurmctld`, `gpu1`) wrote down."""
        return int((self.folder / "run" / f"{daemon}.pid").read_text())


def wait_for(probe: Callable[[], Found], what: str, seconds: float = SECONDS) -> Found:
    """Poll until the probe returns something true, and return that; fail naming what never came."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"after {seconds:.0f} s still not: {what}"
        time.sleep(POLL_SECONDS)
    return found


def require_slurm(*programs: str) -> None:
    """Skip the test where Slurm is not installed; fail in CI."""
    for program in ("slurmctld", "slurmd", "sinfo", *programs):
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        require(found is not None, program, "run slurm/devcluster/install.sh --accounting")


@contextmanager
def private_cluster(*flags: str, user: str | None = None) -> Iterator[Devcluster]:
    """Bring a cluster up in a folder of its own (a short path: sockets lie inside), and take it down after."""
    with tempfile.TemporaryDirectory(prefix="dc-", dir="/tmp") as parent:
        cluster = _for_user(Path(parent), user) if user else Devcluster(Path(parent, "c/slurm.conf"), _env(parent))
        started = time.monotonic()
        try:
            cluster.verb("up", *flags)
            print(f"devcluster {' '.join(('up', *flags))}: {time.monotonic() - started:.1f} s")  # noqa: T201 - for -rP
            yield cluster
        finally:
            cluster.verb("down")


@pytest.fixture(scope="session")
def devcluster() -> Iterator[Devcluster]:
    """Return a cluster for the whole session, without accounting; each xdist worker has its own."""
    require_slurm()
    with private_cluster() as cluster:
        yield cluster


def _env(parent: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    return own | {"SLURM_CONF": f"{parent}/c/slurm.conf"}


def _for_user(parent: Path, user: str) -> Devcluster:
    """Return a cluster that belongs to another user, with a copy of the script that the user can read."""
    copy = Path(shutil.copytree(SCRIPT.parent, parent / "devcluster"))
    subprocess.run(["chmod", "-R", "a+rX", str(copy)], check=True)
    shutil.chown(parent, user)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "SLURM_CONF": f"{parent}/c/slurm.conf"}
    return Devcluster(parent / "c/slurm.conf", env, copy / SCRIPT.name, user)
