"""A trial in this very process, as a person runs it from a shell or under a debugger."""

from __future__ import annotations

import copy
import os
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpc_sweep import records, tasks
from hpc_sweep.compose.exits import trials_failed
from hpc_sweep.errors import SweepError
from hpc_sweep.objective import Objective
from hpc_sweep.report.console import Console
from hpc_sweep.runtime.worker import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from omegaconf import DictConfig

INTERRUPTED = 130
"""The exit status of a program that a person interrupted, as shells know it."""

_SEVERAL = re.compile(r"Ambiguous value for argument '(.+)'$", re.MULTILINE)
"""How Hydra begins to say that an override has several values."""

RESULT = "result.json"
"""What a trial leaves in its Hydra output directory."""

OmegaConf.register_new_resolver(
    "utc", lambda pattern: datetime.now(UTC).strftime(pattern), use_cache=True, replace=True
)


def run(main: Callable[[], object]) -> int:
    """Call a job's main function and return its exit status: 2 for a user's mistake, in one sentence, no traceback."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra would print and exit 1 before we could tell what it was
    try:
        main()
    except SweepError as error:
        return _say(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _say("Interrupted. What was finished is kept; the same command goes on.", INTERRUPTED)
    except OSError as error:
        return _say(f"{error.strerror or error}\n{error.filename or ''}".strip(), 2)
    except (HydraException, OmegaConfBaseException) as error:
        return _say(_several(str(error)) or f"{error}\n{error.__cause__ or ''}".strip(), 2)
    return 1 if trials_failed() else 0


def train(cfg: DictConfig) -> float | None:
    """Train one trial, show its epochs, leave its result, and return the value of its objective."""
    resolved = copy.deepcopy(cfg)
    OmegaConf.resolve(resolved)
    OmegaConf.set_readonly(resolved, value=True)
    tasks.check(resolved)
    objective = Objective.parse(resolved.objective)
    begun = time.monotonic()
    with Console(resolved.epochs, threads=threads()) as context:
        result = tasks.train(resolved, context)
    fields = {**recorded(result), "seconds": round(time.monotonic() - begun, 3), "threads": threads(), "error": None}
    folder = Path(HydraConfig.get().runtime.output_dir)
    records.replace(folder / RESULT, records.canonical(fields) + "\n")
    if result.note:
        _say(f"{_named(HydraConfig.get().overrides.task)} {result.outcome}: {result.note}")
    return result.metrics.get(objective.metric)


def threads() -> int:
    """Return the threads of a trial: what Slurm gave to this task, else one."""
    return int(os.environ.get("SLURM_CPUS_PER_TASK", "1"))


def _several(told: str) -> str:
    """Return our sentence about several values in a single run; empty when Hydra tells of something else."""
    found = _SEVERAL.match(told)
    if found is None:
        return ""
    key, _, values = found[1].partition("=")
    return (
        f"'{found[1]}' is more than one trial: add -m to sweep over the values, or type '{key}=[{values}]' for a list."
    )


def _named(overrides: Sequence[str]) -> str:
    """Return what a person calls the trial: what was typed."""
    return f"The trial of {' '.join(overrides)}" if overrides else "The trial"


def _say(text: str, status: int = 0) -> int:
    print(text, file=sys.stderr)  # noqa: T201 because the person at the terminal must read it
    return status
