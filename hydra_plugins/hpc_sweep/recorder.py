"""A Hydra callback of the shipped ``conf/``: under ``hydra/launcher=basic`` it records each trial and collects.

Hydra imports this module in every program, so nothing heavy is imported before a trial has ended.
"""

from __future__ import annotations

import atexit
import importlib
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


class Recorder(Callback):
    """Writes plan, log and report of a sweep that Hydra's own launcher runs."""

    def __init__(self) -> None:
        self._sweep: Any = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 because Hydra says so
        """Begin to record when the launcher is Hydra's own."""
        del kwargs
        if config.hydra.launcher.get("_target_") == BASIC:
            self._sweep = importlib.import_module("hpc_sweep.compose.basic").Recording(config)
            # Hydra's sweeper raises what a trial raised, after the last one, and then tells nobody that it ended.
            atexit.register(self._collect)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ANN401 because Hydra says so
        """Record one trial."""
        del kwargs
        if self._sweep is not None:
            self._sweep.record(config, job_return)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ANN401 because Hydra says so
        """Collect."""
        del config, kwargs
        self._collect()

    def _collect(self) -> None:
        sweep, self._sweep = self._sweep, None
        if sweep is not None:
            sweep.collect()
