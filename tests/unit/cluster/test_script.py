"""The text of batch scripts."""

import subprocess
from pathlib import Path

import pytest

from hpc_sweep import paths
from hpc_sweep.cluster import script, slurm
from hpc_sweep.errors import UserError

pytestmark = pytest.mark.slurm


@pytest.fixture(autouse=True)
def srun(need):
    """Need srun, without which submitit renders nothing."""
    need("srun", "sh slurm/devcluster/install.sh")


@pytest.fixture
def sweep(tmp_path):
    """Return a sweep whose folder has a name that would be trouble in a shell."""
    return paths.Sweep(tmp_path / "a b'c\"$(touch pwned)")


def test_the_command_of_an_array_task_is_constant(sweep):
    """It is python, the entry of the sweep's code, sweep and intent number, and says nothing of the trials."""
    text = script.array(sweep, {"timeout_min": 5, "cpus_per_task": 1}, "token", 3, 7)

    assert text.splitlines()[-1].endswith(script.command(sweep, 3))
    assert "#SBATCH --array=0-6%7" in text
    assert "#SBATCH --job-name=token" in text
    assert "#SBATCH --comment=token" in text


def test_a_folder_with_an_evil_name_reaches_python_as_it_is(sweep, tmp_path):
    """The script's text is run by bash with a stand-in for srun, and nothing of the name is executed."""
    text = script.array(sweep, {}, "token", 1, 1)
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "srun").write_text('#!/bin/sh\nfor a in "$@"; do printf "%s\\n" "$a"; done\n')
    (fake / "srun").chmod(0o755)

    done = subprocess.run(
        ["bash"], input=text, cwd=tmp_path, env={"PATH": f"{fake}:/usr/bin:/bin"}, capture_output=True, text=True
    )

    assert str(sweep.root) in done.stdout.splitlines()
    assert list(tmp_path.glob("pwned*")) == []


@pytest.mark.parametrize("name", ["comment", "partition", "account", "constraint", "exclude", "qos"])
def test_a_line_break_in_a_parameter_is_refused(sweep, name):
    """It would end its comment line, and the rest would be executed."""
    with pytest.raises(UserError, match=f"hydra.launcher.{name}"):
        script.array(sweep, {name: "x\ntouch pwned"}, "token", 1, 1)


def test_the_steward_needs_no_gpu(sweep):
    """It is no array, and takes its own partition and only the account of the others."""
    parameters = {"steward": {"partition": "cpu", "timeout_min": 10}, "account": "lab", "gpus_per_node": 1}
    text = script.steward(sweep, parameters, "token", 4)

    assert "#SBATCH --partition=cpu" in text
    assert "#SBATCH --account=lab" in text
    assert "gpus" not in text
    assert "--array" not in text
    assert text.splitlines()[-1] == script.command(sweep, 4)


def test_a_percent_sign_of_the_folder_is_no_pattern_of_slurms(tmp_path):
    """Slurm expands %j and the like in names of output files, so each sign of the folder's own name is doubled."""
    text = script.array(paths.Sweep(tmp_path / "50% %j"), {}, "token", 1, 1)

    assert f"--output='{tmp_path}/50%% %%j/submissions/output/%A_%a.log'" in text


@pytest.mark.parametrize("given", [{"mail-user": "a\nb"}, {"a\nb": "x"}, {"x": ["a", "b\r"]}])
def test_a_line_break_deep_in_a_parameter_is_refused(sweep, given):
    """Further parameters are written as they are, keys included."""
    with pytest.raises(UserError, match="line break"):
        script.array(sweep, {"additional_parameters": given}, "token", 1, 1)


def test_a_line_break_in_the_folder_is_refused(tmp_path):
    """The name of the folder is part of the script."""
    with pytest.raises(UserError, match="The sweep's folder"):
        script.array(paths.Sweep(tmp_path / "a\nb"), {}, "token", 1, 1)


def test_an_enclosing_job_leaks_nothing(monkeypatch):
    """What a batch job set for itself must not shape the jobs that it submits."""
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SBATCH_PARTITION", "wrong")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")

    environment = slurm.environment()

    assert "SLURM_JOB_ID" not in environment
    assert "SBATCH_PARTITION" not in environment
    assert environment["SLURM_CONF"] == "/etc/slurm.conf"


def test_without_slurm_the_error_says_what_to_type(sweep, monkeypatch, tmp_path):
    """A laptop has no srun."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UserError, match="hydra/launcher=sharded_local"):
        script.array(sweep, {}, "token", 1, 1)


def test_the_folder_of_the_jobs_output_is_not_made_by_rendering(sweep):
    """A preview writes nothing."""
    script.array(sweep, {}, "token", 1, 1)

    assert not Path(sweep.root).exists()
