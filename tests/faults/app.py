"""A Hydra app that trains by hashing: each epoch needs the one before, and the winner is known beforehand.

    python tests/faults/app.py -m x=1,2,3 seed=1,2 hydra/launcher=sharded_slurm

An order to misbehave is a file ``<orders>/<x>-<seed>-<epoch>`` with one of the words of `ORDERS` in it; it is carried
out when this trial comes to this epoch, once, or each time when the word ends in an exclamation mark.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import hydra

from hpc_sweep.runtime.context import current

BEST = 3
"""The x with the highest accuracy, whatever the seeds say."""

GENERATIONS = 2


@hydra.main(version_base="1.3", config_path=".", config_name="app")
def train(cfg):
    """Train one trial and return its metrics."""
    context = current()
    epoch, chain = restored(context.checkpoint_dir, cfg)
    order = ""
    print(f"begins after epoch {epoch}")  # noqa: T201 because this is the log of the trial
    while epoch < cfg.epochs:
        epoch += 1
        order = taken_order(cfg, epoch)
        if order:
            ORDERS[order]()
        time.sleep(cfg.pace.seconds)
        chain = linked(chain, epoch)
        context.report(epoch, {"val/accuracy": accuracy(cfg.x, chain)})
        if cfg.pace.save_every and epoch % cfg.pace.save_every == 0:
            save(context.checkpoint_dir, cfg, epoch, chain)
        context.keep(epoch, lambda: save(context.checkpoint_dir, cfg, epoch, chain))  # noqa: B023 because it is called at once
    return {"val/accuracy": float("nan") if order == "nan" else accuracy(cfg.x, chain), "val/chain": int(chain[:8], 16)}


def beginning(x, seed):
    """Return the chain before the first epoch."""
    return hashlib.sha256(f"{x}/{seed}".encode()).hexdigest()


def linked(chain, epoch):
    """Return the chain after one more epoch."""
    return hashlib.sha256(f"{chain}{epoch}".encode()).hexdigest()


def accuracy(x, chain):
    """Return how good a trial is: a parabola in x, and noise far below its steps."""
    return 0.9 - 0.01 * (x - BEST) ** 2 + int(chain[:6], 16) / 16**6 / 1000


def expected(x, seed, epochs):
    """Return the metrics of a trial that nothing befalls."""
    chain = beginning(x, seed)
    for epoch in range(1, epochs + 1):
        chain = linked(chain, epoch)
    return {"val/accuracy": accuracy(x, chain), "val/chain": int(chain[:8], 16)}


def restored(folder, cfg):
    """Return the epoch and the chain of the newest checkpoint that is whole and of this trial."""
    for path in sorted(folder.glob("epoch-*.ckpt") if folder else (), reverse=True):
        try:
            body, checksum = path.read_text(encoding="ascii").split("\n")
            state = json.loads(body)
        except (OSError, ValueError) as error:
            print(f"passes over {path.name}: {error}")  # noqa: T201 because this is the log of the trial
            continue
        if hashlib.sha256(body.encode()).hexdigest() != checksum or (state["x"], state["seed"]) != (cfg.x, cfg.seed):
            print(f"passes over {path.name}: it is damaged, or another trial's")  # noqa: T201 because this is the log of the trial
            continue
        return state["epoch"], state["chain"]
    return 0, beginning(cfg.x, cfg.seed)


def save(folder, cfg, epoch, chain):
    """Write a checkpoint beside and rename it; two generations stay."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps({"x": cfg.x, "seed": cfg.seed, "epoch": epoch, "chain": chain})
    beside = folder / f".half-{os.getpid()}"
    with beside.open("w", encoding="ascii") as file:
        file.write(body + "\n")
        file.flush()
        time.sleep(cfg.pace.save_seconds)
        file.write(hashlib.sha256(body.encode()).hexdigest())
    beside.replace(folder / f"epoch-{epoch:06d}.ckpt")
    for old in sorted(folder.glob("epoch-*.ckpt"))[:-GENERATIONS]:
        old.unlink()


def taken_order(cfg, epoch):
    """Return what this trial was ordered to do in this epoch, or an empty text."""
    path = Path(cfg.pace.orders or "/nonexistent", f"{cfg.x}-{cfg.seed}-{epoch}")
    try:
        word = path.read_text(encoding="ascii").strip()
        if not word.endswith("!"):
            path.unlink()
    except OSError:
        return ""
    return word.rstrip("!")


def die():
    """End like a process that the kernel ends for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    """Do nothing for an hour."""
    time.sleep(3600)


def fill_memory():
    """Ask for memory without end; with a limit on the address space that is a MemoryError."""
    import resource  # noqa: PLC0415 because no other trial needs it

    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    hoard = []
    while True:
        hoard.append(bytearray(2**26))


class OutOfMemoryError(RuntimeError):
    """What torch raises when a GPU is full, by its name."""


class AcceleratorError(RuntimeError):
    """What torch raises when a GPU is broken, by its name."""


def raising(error):
    """Return a function that raises."""

    def act():
        raise error

    return act


ORDERS = {
    "die": die,
    "hang": hang,
    "memory": fill_memory,
    "nan": lambda: None,
    "raise": raising(ValueError("as it was told")),
    "full": raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
    "cuda_oom": raising(OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")),
    "cuda": raising(AcceleratorError("CUDA error: an illegal memory access was encountered")),
    "exit": lambda: sys.exit(3),
}

if __name__ == "__main__":
    train()
