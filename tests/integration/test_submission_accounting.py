"""What only a cluster with accounting knows: the limits of a QOS, and jobs that the controller has forgotten."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from hpc_sweep.cluster import limits, slurm
from tests.integration.slurm_fixture import private_cluster, require_slurm, wait_for
from tests.integration.sweeping import ON_SLURM, App, runs, until_over

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]


@pytest.fixture(scope="module")
def cluster():
    """Return a cluster with accounting, whose QOS `few` takes five jobs of a user."""
    require_slurm("slurmdbd", "mariadbd")
    with private_cluster("--accounting") as cluster:
        yield cluster


@pytest.fixture
def here(cluster, monkeypatch):
    """Let this process ask the cluster."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))


@pytest.mark.usefixtures("here")
def test_limits_of_a_qos_are_read():
    """The one that a sweep asks for counts, and the default one otherwise, which has none."""
    assert limits.read(None, "few").mine == 5
    assert limits.read().mine == limits.UNLIMITED


@pytest.mark.usefixtures("here")
def test_a_job_is_found_by_its_token_when_only_the_accounting_knows_it(cluster):
    """An sbatch whose answer was lost may be looked up long after its job has left the queue."""
    job = cluster.sbatch("--wait", "--job-name=hpc-sweep-0123456789ab", "--output=/dev/null", "--wrap=true")
    since = datetime.now(UTC) - timedelta(minutes=5)

    wait_for(lambda: slurm.accounted("hpc-sweep-0123456789ab", since) == {job}, "sacct knows the job")
    assert slurm.accounted("hpc-sweep-ba9876543210", since) == set()


def test_what_a_qos_takes_is_sent_and_the_steward_sends_the_rest(cluster, tmp_path):
    """Eight shards where five jobs are allowed: in the end each ran once, and nobody typed anything."""
    root, notes = tmp_path / "sweep", tmp_path / "notes"
    app = App.write(tmp_path / "app", cluster.env).with_notes(notes)
    done = app.sweep(root, *ON_SLURM, "hydra.launcher.qos=few", "x=1,2,3,4,5,6,7,8", "++how=wait", check=True)
    assert "shards wait: Slurm takes no more jobs now" in done.stdout
    (notes / "go").touch()
    decision = root / "decision" / "decision.json"
    wait_for(lambda: decision.exists() and coverage(decision).get("completed") == 8, "the rest was submitted", 150)
    until_over(cluster)

    assert runs(notes) == dict.fromkeys(range(1, 9), 1)


def coverage(decision):
    return json.loads(decision.read_text())["coverage"]
