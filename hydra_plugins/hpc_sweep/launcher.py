"""Hydra's door: ``hydra/launcher=sharded_local`` and ``hydra/launcher=sharded_slurm``.

Hydra imports this module in every program, so nothing heavy is imported before `launch`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hydra_plugins.hpc_sweep._config import ShardedLocalConf, ShardedSlurmConf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.utils import JobReturn
    from hydra.types import HydraContext, TaskFunction


class ShardedLauncher(Launcher):
    """Plans a batch of jobs as shards and runs them in warm workers, here or on a cluster."""

    def __init__(self, **parameters: Any) -> None:  # noqa: ANN401 because Hydra passes the whole node
        self._parameters = {name: _container(value) for name, value in parameters.items()}
        self._session: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands over, and settle the sweep's folder before the sweeper writes into it."""
        self._context, self._task, self._config = hydra_context, task_function, config
        grid, errors = importlib.import_module("hpc_sweep.compose.grid"), importlib.import_module("hpc_sweep.errors")
        try:
            grid.refuse_too_large(config, self._parameters["max_trials"])
        except errors.SweepError as error:
            print(error, file=sys.stderr)  # noqa: T201 because the person at the terminal must read it
            raise SystemExit(error.exit_status) from None
        self._folder = Path(str(config.hydra.sweep.dir)).resolve()
        if self._parameters["dry_run"]:
            self._elsewhere = TemporaryDirectory(prefix="hpc-sweep-")
            _set_folder(config, self._elsewhere.name)
        elif not _named_by_user(config):
            self._folder = _free(self._folder)
            _set_folder(config, str(self._folder))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch of a sweeper; a user's mistake ends the program with its sentences and its exit status."""
        launching = importlib.import_module("hpc_sweep.compose.launch")
        paths, errors = importlib.import_module("hpc_sweep.paths"), importlib.import_module("hpc_sweep.errors")
        if self._session is None:
            sweep = paths.Sweep(self._folder)
            self._session = launching.Session(self._context, self._task, self._config, self._parameters, sweep)
        try:
            returns: Sequence[JobReturn] = launching.launch(self._session, job_overrides, initial_job_idx)
        except errors.SweepError as error:
            print(error, file=sys.stderr)  # noqa: T201 because the person at the terminal must read it
            _withdraw(self._session.sweep)
            raise SystemExit(error.exit_status) from None
        except KeyboardInterrupt:
            kept = "Interrupted. What was finished is kept; go on with:"
            print(kept, f"hpc-sweep resume {self._folder}", file=sys.stderr)  # noqa: T201 because a person must read it
            raise SystemExit(130) from None
        return returns


def _named_by_user(config: DictConfig) -> bool:
    return any(
        str(line).lstrip("+").startswith("hydra.sweep.dir=")
        for line in _container(config.hydra.overrides.hydra, resolve=False)
    )


def _free(folder: Path) -> Path:
    """Make a default folder, with a suffix when it exists, and return it; two sweeps of one second get two folders."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for name in (folder.name, *(f"{folder.name}-{number}" for number in range(2, 1000))):
        try:
            folder.with_name(name).mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder.with_name(name)
    raise FileExistsError(folder)


def _withdraw(sweep: Any) -> None:  # noqa: ANN401 because `hpc_sweep.paths` is not imported here
    """Take back what Hydra's sweeper wrote for a sweep that was refused before it owned its folder."""
    names = [path.name for path in sweep.root.iterdir()] if sweep.root.is_dir() else []
    if names == ["multirun.yaml"]:
        (sweep.root / "multirun.yaml").unlink()
        sweep.root.rmdir()


def _set_folder(config: DictConfig, folder: str) -> None:
    with read_write(config), open_dict(config):
        config.hydra.sweep.dir = folder


def _container(value: Any, *, resolve: bool = True) -> Any:  # noqa: ANN401 because a parameter is a node or a value
    return OmegaConf.to_container(value, resolve=resolve) if OmegaConf.is_config(value) else value


_store = ConfigStore.instance()
_store.store(group="hydra/launcher", name="sharded_local", node=ShardedLocalConf, provider="hpc_sweep")
_store.store(group="hydra/launcher", name="sharded_slurm", node=ShardedSlurmConf, provider="hpc_sweep")
