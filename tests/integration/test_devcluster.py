"""The development cluster: it comes up, runs jobs as a cluster would, survives faults, and leaves nothing behind."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.slurm_fixture import SCRIPT, private_cluster, require_slurm, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

GPU_NODES = ["gpu1", "gpu2", "gpu3", "gpu4"]
DAEMONS = ["slurmctld", *GPU_NODES, "cpu1"]


@pytest.fixture
def own_cluster():
    """Return a cluster that the test may break."""
    require_slurm()
    with private_cluster() as cluster:
        yield cluster


@pytest.fixture
def ordinary_user():
    """Return the name of a fresh user without rights."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user; here, all tests are an ordinary user's")
    name = f"dc{os.getpid()}"
    subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", name], check=True)
    yield name
    subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


def processes_of(cluster):
    """Return the command lines of the processes that name the cluster's folder."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in lines.splitlines() if str(cluster.folder) in line]


def step_managers_of(cluster):
    """Return the process numbers of the cluster's slurmstepd, which write into its logs."""
    found = subprocess.run(["pgrep", "-f", "^slurmstepd: "], capture_output=True, text=True, check=True).stdout
    logs = set((cluster.folder / "log").iterdir())
    return [int(pid) for pid in found.split() if logs & {fd.readlink() for fd in Path("/proc", pid, "fd").iterdir()}]


def write_script(folder, text):
    """Write a batch script."""
    script = folder / "job.sh"
    script.write_text(f"#!/bin/bash\n{text}")
    return script


def test_up_again_changes_nothing(devcluster):
    """`up` on a cluster that is up prints the same line and starts no daemon."""
    before = [devcluster.pid(daemon) for daemon in DAEMONS]

    again = devcluster.verb("up")

    assert again.stdout == f"export SLURM_CONF={devcluster.conf}\n"
    assert [devcluster.pid(daemon) for daemon in DAEMONS] == before


def test_env_prints_the_line_of_up(devcluster):
    """`env` prints the line that points a shell at the cluster."""
    assert devcluster.verb("env").stdout == f"export SLURM_CONF={devcluster.conf}\n"


def test_status_names_daemons_and_nodes(devcluster):
    """`status` of a cluster that is up exits 0 and has one line per daemon."""
    status = devcluster.verb("status")

    assert status.stdout.startswith(f"devcluster in {devcluster.folder}: up\n")
    assert [line.split()[0] for line in status.stdout.splitlines()[1:7]] == DAEMONS


def test_up_with_other_settings_is_refused(devcluster):
    """A running cluster does not get accounting; the answer is one sentence with what to type."""
    refused = devcluster.verb("up", "--accounting", check=False)

    assert refused.returncode == 2
    assert f"devcluster down --dir {devcluster.folder}" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_array_of_gpu_tasks_gets_a_node_each(devcluster, tmp_path):
    """Four GPU tasks run at the same time, on four different nodes, and see one GPU each."""
    meet = (
        f'touch "{tmp_path}/here.$SLURMD_NODENAME"; until [ $(ls {tmp_path}/here.* | wc -l) = 4 ]; do sleep 0.1; done'
    )
    script = write_script(tmp_path, f'{meet}\necho "$SLURMD_NODENAME $SLURM_GPUS_ON_NODE $CUDA_VISIBLE_DEVICES"\n')

    devcluster.sbatch("--wait", "--array=0-3", "--gpus-per-node=1", f"--output={tmp_path}/out-%a", script)

    seen = [(tmp_path / f"out-{task}").read_text().split()[:2] for task in range(4)]
    assert sorted(seen) == [[node, "1"] for node in GPU_NODES]


def test_fifth_gpu_job_waits(devcluster):
    """Two jobs that ask for a GPU never share a node."""
    job = devcluster.sbatch("--array=0-4", "--gres=gpu:1", "--output=/dev/null", "--wrap=sleep 60")
    try:
        wait_for(lambda: devcluster.job(job, "%T").split().count("RUNNING") == 4, "four tasks run")
        wait_for(lambda: "Resources" in devcluster.job(job, "%r"), "the fifth waits for resources")

        assert sorted(devcluster.job(job, "%N").split()) == GPU_NODES
    finally:
        devcluster.run("scancel", job)


def test_srun_works_inside_a_batch_job(devcluster, tmp_path):
    """A batch script starts a job step, whose output lands where it is told to."""
    script = write_script(tmp_path, f"srun --unbuffered --output {tmp_path}/step-%t echo step of $SLURM_JOB_ID\n")

    job = devcluster.sbatch("--wait", f"--output={tmp_path}/batch", script)

    assert (tmp_path / "step-0").read_text() == f"step of {job}\n"
    assert (tmp_path / "batch").read_text() == ""


def test_limits_are_low_enough_to_meet(devcluster):
    """The array limit shows in Slurm's configuration, and an array beyond it is refused."""
    shown = devcluster.run("scontrol", "show", "config").stdout
    limits = dict(line.replace(" ", "").split("=", 1) for line in shown.splitlines() if "=" in line)
    refused = devcluster.run("sbatch", "--array=0-31", "--wrap=true", check=False)

    assert (limits["MaxArraySize"], limits["MaxJobCount"]) == ("31", "200")
    assert "Invalid job array specification" in refused.stderr


def test_dependent_job_runs_on_the_cpu_partition(devcluster, tmp_path):
    """A job that depends on an array by `afterany` runs after all of it, also when tasks failed."""
    script = write_script(tmp_path, f'echo done >> {tmp_path}/log; exit "$SLURM_ARRAY_TASK_ID"\n')
    array = devcluster.sbatch("--array=0-2", "--gres=gpu:1", "--output=/dev/null", script)

    devcluster.sbatch(
        "--wait",
        f"--dependency=afterany:{array}",
        "--partition=cpu",
        "--output=/dev/null",
        f'--wrap=echo "last on $SLURMD_NODENAME" >> {tmp_path}/log',
    )

    assert (tmp_path / "log").read_text().splitlines() == ["done"] * 3 + ["last on cpu1"]


def test_urgent_job_takes_a_node_from_a_preemptible_one(devcluster, tmp_path):
    """A preempted job is requeued and runs again, with the same number and a higher restart count."""
    script = write_script(tmp_path, f'echo "start ${{SLURM_RESTART_COUNT:-0}}" >> {tmp_path}/log; sleep 60\n')
    options = ("--nodelist=gpu1", "--gres=gpu:1", "--output=/dev/null")
    job = devcluster.sbatch("--partition=preempt", *options, script)
    try:
        wait_for((tmp_path / "log").exists, "the preemptible job runs")

        devcluster.sbatch("--wait", "--partition=urgent", *options, "--wrap=true")

        wait_for(lambda: "start 1" in (tmp_path / "log").read_text(), "the preempted job runs again")
    finally:
        devcluster.run("scancel", job)


def test_sacct_is_off_without_accounting(devcluster):
    """Where accounting was not asked for, Slurm says so."""
    assert "disabled" in devcluster.run("sacct", check=False).stderr


def test_killed_daemons_come_back_and_the_queue_with_them(own_cluster, tmp_path):
    """After `kill -9` of slurmctld and a slurmd, `status` says broken, `up` mends it, and a waiting job runs."""
    job = own_cluster.sbatch("--hold", f"--output={tmp_path}/out", "--nodelist=gpu2", "--wrap=echo alive")
    wait_for((own_cluster.folder / "state" / "job_state").exists, "slurmctld has saved the job")
    for daemon in ("slurmctld", "gpu2"):
        os.kill(own_cluster.pid(daemon), signal.SIGKILL)

    broken = wait_for(
        lambda: (found := own_cluster.verb("status", check=False)).returncode == 1 and found.stdout,
        "status says broken",
    )
    own_cluster.verb("up")
    own_cluster.run("scontrol", "release", job)

    assert [line.split()[0] for line in broken.splitlines() if "dead" in line] == ["slurmctld", "gpu2"]
    wait_for(lambda: own_cluster.job(job, "%T") == "COMPLETED", "the job that waited has run")
    assert (tmp_path / "out").read_text() == "alive\n"


def test_crash_of_everything_is_mended(own_cluster):
    """When every daemon was killed and old pid files lie about, `up` starts all of them anew."""
    before = [own_cluster.pid(daemon) for daemon in DAEMONS]
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    own_cluster.verb("up")

    assert own_cluster.verb("status").returncode == 0
    assert not set(before) & {own_cluster.pid(daemon) for daemon in DAEMONS}


def test_down_leaves_no_process(own_cluster, devcluster, tmp_path):
    """`down` ends daemons, steps and jobs, even a job's stray process whose step manager is dead, and nothing else."""
    script = write_script(tmp_path, f"setsid sleep 60 & echo $! > {tmp_path}/stray; srun sleep 60\n")
    own_cluster.sbatch("--output=/dev/null", script)
    wait_for(lambda: (tmp_path / "stray").exists() and (tmp_path / "stray").read_text(), "the stray process runs")
    stray = Path("/proc", (tmp_path / "stray").read_text().strip(), "cmdline")
    for pid in step_managers_of(own_cluster):
        os.kill(pid, signal.SIGKILL)

    own_cluster.verb("down")

    assert processes_of(own_cluster) == []
    assert not (stray.exists() and stray.read_text())
    assert own_cluster.verb("down").returncode == 0
    assert own_cluster.verb("status", check=False).stdout == f"devcluster in {own_cluster.folder}: down\n"
    assert devcluster.verb("status").returncode == 0


def test_two_clusters_live_side_by_side(own_cluster, devcluster):
    """Clusters in different folders have different ports and do not see each other's jobs."""
    job = own_cluster.sbatch("--hold", "--job-name=mine", "--output=/dev/null", "--wrap=true")

    assert "mine" in own_cluster.run("squeue", "--format=%j").stdout
    assert "mine" not in devcluster.run("squeue", "--format=%j").stdout
    own_cluster.run("scancel", job)


def test_ordinary_user_has_a_cluster(ordinary_user):
    """Without any rights a user brings a cluster up, runs an array with steps on it, and takes it down."""
    require_slurm()
    with private_cluster(user=ordinary_user) as cluster:
        parent = cluster.folder.parent
        script = write_script(parent, f"srun --unbuffered --output {parent}/step-%j id -un\n")
        script.chmod(0o755)

        cluster.sbatch("--wait", "--array=0-3", "--gpus-per-node=1", f"--output={parent}/batch-%a", script)

        assert [path.read_text() for path in parent.glob("step-*")] == [f"{ordinary_user}\n"] * 4
        assert cluster.folder.stat().st_mode & 0o777 == 0o700
    assert processes_of(cluster) == []


@pytest.mark.parametrize("whose", ["own", "ordinary"])
def test_accounting_knows_what_has_run(whose, request):
    """With accounting, sacct shows a job after its end, a QOS limits submission, and all of it goes down."""
    require_slurm("slurmdbd", "mariadbd")
    user = request.getfixturevalue("ordinary_user") if whose == "ordinary" else None
    with private_cluster("--accounting", user=user) as cluster:
        job = cluster.sbatch("--wait", "--output=/dev/null", "--wrap=true")
        query = ("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={job}", "--format=JobID,State")
        wait_for(lambda: cluster.run(*query).stdout == f"{job}|COMPLETED\n", "sacct shows the job")
        held = ("sbatch", "--hold", "--qos=few", "--output=/dev/null", "--wrap=true")
        answers = [cluster.run(*held, check=False).stderr for _ in range(6)]

        assert answers[:5] == [""] * 5
        assert "QOSMaxSubmitJobPerUserLimit" in answers[5]
        assert cluster.verb("up").returncode == 0
    assert processes_of(cluster) == []


def test_folder_that_cannot_hold_a_cluster_is_refused(tmp_path):
    """A path that Slurm cannot take, or a folder with other files, gives one sentence and no traceback."""
    (tmp_path / "slurm.conf").write_text("another cluster's")
    folders = [tmp_path / "with a space", tmp_path / ("x" * 80), tmp_path]
    answers = [subprocess.run([SCRIPT, "up", "--dir", f], capture_output=True, text=True, check=False) for f in folders]

    assert [answer.returncode for answer in answers] == [2, 2, 2]
    assert all("Name another" in answer.stderr and "Traceback" not in answer.stderr for answer in answers)
    assert (tmp_path / "slurm.conf").read_text() == "another cluster's"


def test_help_has_an_example():
    """`--help` shows how a shell is pointed at the cluster."""
    shown = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout

    assert 'eval "$(slurm/devcluster/devcluster up)"' in shown
