"""The text of a batch script, rendered by submitit. No configuration value ever reaches it."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

from submitit.slurm.slurm import SlurmExecutor

from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep import paths

PARAMETERS = (
    *(
        "account",
        "additional_parameters",
        "array_parallelism",
        "comment",
        "constraint",
        "cpus_per_gpu",
        "cpus_per_task",
    ),
    *("exclude", "exclusive", "gpus_per_node", "gpus_per_task", "gres", "mem_gb", "mem_per_cpu", "mem_per_gpu"),
    *("nodelist", "partition", "qos", "setup", "signal_delay_s", "srun_args", "stderr_to_stdout", "timeout_min"),
    "use_srun",
)
"""The launcher's parameters that a batch script has a line for, by the names of hydra-submitit-launcher."""


def shard_command(sweep: paths.Sweep, intent: int) -> str:
    """Return the constant command of every array task: python, shard entry, sweep, intent number."""
    return _command("-m", "hpc_sweep.shard", str(sweep.root), str(intent))


def collect_command(sweep: paths.Sweep) -> str:
    """Return the command of the dependent job."""
    return _command("-m", "hpc_sweep.cli", "collect", str(sweep.root))


def array(sweep: paths.Sweep, parameters: Mapping[str, Any], token: str, intent: int, shards: int) -> str:
    """Return the script of a job array with one task for each shard."""
    given = _given(parameters)
    own = {"name": token, "comment": f"{token} {given.get('comment', '')}".strip()}
    return _render(sweep, {**given, **own}, shard_command(sweep, intent), shards)


def steward(sweep: paths.Sweep, parameters: Mapping[str, Any], token: str, after: str) -> str:
    """Return the script of the job that collects once the array is over; it needs no GPU."""
    own = {
        "name": f"{token}-collect",
        "comment": token,
        "dependency": f"afterany:{after}",
        "additional_parameters": {"kill-on-invalid-dep": "yes"},
    }
    return _render(sweep, {**_given(parameters), **own}, collect_command(sweep), None)


def _render(sweep: paths.Sweep, parameters: Mapping[str, Any], command: str, array_size: int | None) -> str:
    for name, value in parameters.items():
        _refuse_control(name, value)
    try:
        executor = SlurmExecutor(folder=sweep.job_output)
        executor.update_parameters(**executor._convert_parameters(dict(parameters)))  # noqa: SLF001 because its public twin needs pickles
    except RuntimeError:
        raise UserError(
            "Slurm's commands are not on this machine's PATH.",
            next_step="Type hydra/launcher=sharded_local to train here, or log in to a node of the cluster.",
        ) from None
    except (ValueError, TypeError) as error:
        raise UserError(f"The launcher's parameters make no batch script: {error}") from None
    if array_size is not None:
        executor.parameters["map_count"] = array_size
    text: str = executor._make_submission_file_text(command, "")  # noqa: SLF001 because submitit has no other renderer
    return text


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in PARAMETERS if parameters.get(name) is not None}


def _command(*arguments: str) -> str:
    # -P keeps the submitter's folder out of the module path, so that no file there can shadow a library.
    return shlex.join([sys.executable, "-u", "-P", *arguments])


def _refuse_control(name: str, value: object) -> None:
    """Refuse a value that would end its comment line in the script; `setup` is shell by its nature."""
    if name != "setup" and any(ord(character) < ord(" ") for character in str(value)):
        raise UserError(
            f"hydra.launcher.{name} has a line break or another control character in it.",
            next_step="Write it on one line.",
        )
