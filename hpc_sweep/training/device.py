"""Where a trial trains: the CPU or a GPU, and never another than was asked for."""

from __future__ import annotations

import torch

from hpc_sweep.errors import UserError

DEVICES = ("auto", "cpu", "cuda")


def choose(name: str) -> torch.device:
    """Return the device for a name; ``auto`` is a GPU where there is one.

    Raises UserError for any other name, and for ``cuda`` where no GPU can be used.
    """
    if name not in DEVICES:
        raise UserError(f"'{name}' is no device.", where="Key: device", next_step=f"Type one of {_options()}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"device=cuda was asked for, and torch {torch.__version__} finds no GPU that it can use here.",
            where="Key: device",
            next_step="Type device=auto to train where possible, or ask Slurm for one: hydra.launcher.gpus_per_node=1",
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def describe(device: torch.device) -> str:
    """Return the device as it is recorded with a result: ``cpu``, or ``cuda`` and the name of the card."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


def _options() -> str:
    return ", ".join(f"device={name}" for name in DEVICES)
