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


def command(sweep: paths.Sweep, intent: int) -> str:
    """Return the constant command of every job: python, what starts the sweep's code, sweep, intent number."""
    return shlex.join(arguments(sweep, intent))


def arguments(sweep: paths.Sweep, intent: int) -> list[str]:
    """Return the words of `command`."""
    # -P keeps the submitter's folder out of the module path, so that no file there can shadow a library.
    return [sys.executable, "-u", "-P", str(sweep.start), str(sweep.root), str(intent)]


def array(sweep: paths.Sweep, parameters: Mapping[str, Any], token: str, intent: int, shards: int) -> str:
    """Return the script of a job array with one task for each shard."""
    given = _given(parameters)
    own = {"name": token, "comment": f"{token} {given.get('comment', '')}".strip()}
    # Since 22.05 a step does not inherit the CPUs of its job.
    cpus = [f"--cpus-per-task={given['cpus_per_task']}"] if "cpus_per_task" in given else []
    srun = ["srun", "--unbuffered", *cpus, *given.pop("srun_args", [])] if given.pop("use_srun", True) else []
    words = [*srun, *arguments(sweep, intent)]
    return _render(sweep, {**given, **own}, shlex.join(words), shards)


def steward(sweep: paths.Sweep, parameters: Mapping[str, Any], token: str, intent: int) -> str:
    """Return the script of the job that comes after the arrays; it needs no GPU."""
    account = {"account": parameters["account"]} if parameters.get("account") else {}
    own = {"name": token, "comment": token}
    given = {**account, **_given(parameters.get("steward") or {}), **own}
    return _render(sweep, given, command(sweep, intent), None)


def _render(sweep: paths.Sweep, parameters: Mapping[str, Any], command: str, array_size: int | None) -> str:
    for name, value in {**parameters, "folder": sweep.root}.items():
        if name != "setup":  # it is shell by its nature
            _refuse_control(name, value)
    more = {"output": _output(sweep, array_size), "requeue": True, **parameters.get("additional_parameters", {})}
    more = {name: value for name, value in more.items() if value is not False}
    more |= {} if "requeue" in more else {"no-requeue": True}
    given = {**parameters, "use_srun": False, "stderr_to_stdout": True, "additional_parameters": more}
    try:
        executor = SlurmExecutor(folder="unused")
        executor.update_parameters(**executor._convert_parameters(given))  # noqa: SLF001 because its public twin needs pickles
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


def _output(sweep: paths.Sweep, array_size: int | None) -> str:
    """Return where a job's output goes: a percent sign of the folder's own name is no pattern of Slurm's."""
    return str(sweep.job_output).replace("%", "%%") + ("/%A_%a.log" if array_size is not None else "/%j.log")


def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in PARAMETERS if parameters.get(name) is not None}


def _refuse_control(name: str, value: object) -> None:
    """Refuse a value that would end its comment line in the script."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_control(name, key)
            _refuse_control(name, item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_control(name, item)
    elif any(ord(character) < ord(" ") for character in str(value)):
        what = "The sweep's folder" if name == "folder" else f"hydra.launcher.{name}"
        raise UserError(
            f"{what} has a line break or another control character in it.", next_step="Write it on one line."
        )
