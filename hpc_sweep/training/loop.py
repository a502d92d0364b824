"""Trains one trial: epochs of steps, each epoch judged on the validation items.

What is measured:

- ``train/...`` are running means over the items of an epoch *as they were trained on*: augmented, with dropout, by
  weights that change from batch to batch. They lag behind, and are not what the final weights would score.
- ``val/...`` are measured after each epoch, by the weights that it ended with, on all validation items.
- ``train/cross_entropy`` and ``val/cross_entropy`` have neither penalty nor class weights, so they compare across
  trials; ``train/penalty`` is what L2 adds, and ``train/loss`` is the whole of what training descends.

An epoch takes whole batches only, from a new order each time; the items left over wait for the next.
"""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from omegaconf import OmegaConf

from hpc_sweep.errors import UserError
from hpc_sweep.identity import resolved, without
from hpc_sweep.records import digest
from hpc_sweep.training import dropout, streams, threads
from hpc_sweep.training.checkpoint import Checkpoints
from hpc_sweep.training.device import describe
from hpc_sweep.training.state import State
from hpc_sweep.training.streams import Purpose
from hpc_sweep.trial import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from omegaconf import DictConfig
    from torch import Tensor

    from hpc_sweep.training.task import Data, Split, Tally, Task
    from hpc_sweep.trial import Context


class _Step(NamedTuple):
    """What one step leaves on the device: the loss that it descended, the penalty in it, and its tally."""

    loss: Tensor
    penalty: Tensor | None
    tally: Tally


def fit(task: Task, cfg: DictConfig, context: Context, device: torch.device) -> Result:
    """Train the trial of a configuration and return how it ended.

    A trial with a loss or metric that is no longer finite ends as ``diverged``: its result has the curves of the
    epochs before and no metrics, for it reached nothing that could be compared. Where the context has a folder for
    checkpoints, every epoch is kept there and the trial goes on from the newest; it then equals an uninterrupted one,
    on a CPU bit for bit. Raises UserError for what cannot be trained as it was asked.
    """
    _check(cfg)
    threads.limit(context.threads)
    with streams.isolated(device):
        data = task.data(cfg, device)
        state = State.fresh(task, cfg, device)
        checkpoints = _checkpoints(cfg, context, data)
        note = _resume(state, checkpoints, device)
        while state.epoch < cfg.epochs:
            metrics, details = _epoch(task, cfg, data, state)
            if not all(map(math.isfinite, metrics.values())):
                note = f"loss became non-finite at epoch {state.epoch + 1}; lower optimizer.lr"
                return _result(Outcome.DIVERGED, state, data, device, note)
            state.finish_epoch(metrics, details)
            context.report(state.epoch, metrics)
            if checkpoints is not None:
                checkpoints.save(state.epoch, state.capture())
    return _result(Outcome.COMPLETED, state, data, device, note)


def _epoch(task: Task, cfg: DictConfig, data: Data, state: State) -> tuple[dict[str, float], dict[str, Any]]:
    """Train one epoch and judge it; return its metrics and the details of the validation items."""
    steps = list(_train(task, cfg, data.train, state))
    trained = reduce(add, (step.tally for step in steps)).metrics()
    judged = _judge(task, cfg, data.val, state)
    metrics = {"train/loss": _mean([step.loss for step in steps])}
    penalties = [step.penalty for step in steps if step.penalty is not None]
    if penalties:
        metrics["train/penalty"] = _mean(penalties)
    metrics |= _prefixed("train", trained)
    metrics |= _prefixed("val", judged.metrics() | judged.by_class(data.classes))
    return metrics, _prefixed("val", judged.details())


def _train(task: Task, cfg: DictConfig, split: Split, state: State) -> Iterator[_Step]:
    """Take the steps of one epoch; nothing waits for the device."""
    epoch, device = state.epoch + 1, split.x.device
    batches = _batches(cfg, split, epoch)
    augmentation = streams.steps([streams.key(cfg.seed, Purpose.AUGMENTATION, epoch)], len(batches), device)[:, 0]
    places = dropout.places(state.model)
    dropping = streams.steps([streams.key(cfg.seed, Purpose.DROPOUT, epoch)], len(batches), device)[:, 0]
    by_place = streams.sites(dropping, tuple(places))
    state.model.train()
    for step, items in enumerate(batches):
        dropout.tell(places, by_place[step])
        yield _step(task, cfg, state, task.inputs(split.x[items], cfg, augmentation[step]), split.y[items])


def _step(task: Task, cfg: DictConfig, state: State, inputs: Tensor, y: Tensor) -> _Step:
    state.optimizer.zero_grad()
    out = state.model(inputs)
    loss = task.loss(out, y, cfg)
    penalty = task.penalty(state.params, cfg)
    if penalty is not None:
        loss = loss + penalty
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    state.optimizer.step()
    return _Step(loss.detach(), None if penalty is None else penalty.detach(), task.tally(out.detach(), y, cfg))


@torch.no_grad()
def _judge(task: Task, cfg: DictConfig, split: Split, state: State) -> Tally:
    state.model.eval()
    size = cfg.batch_size
    batches = ((split.x[first : first + size], split.y[first : first + size]) for first in range(0, len(split), size))
    return reduce(add, (task.tally(state.model(task.inputs(x, cfg)), y, cfg) for x, y in batches))


def _batches(cfg: DictConfig, split: Split, epoch: int) -> list[Tensor]:
    """Return the items of each step of an epoch; all batches have one size, which keeps shapes static."""
    size = min(cfg.batch_size, len(split))
    order = streams.permutation(streams.key(cfg.seed, Purpose.ORDER, epoch), len(split))
    whole = order[: len(split) // size * size].to(split.x.device)
    return list(whole.view(-1, size).unbind())


def _result(outcome: Outcome, state: State, data: Data, device: torch.device, note: str) -> Result:
    reached = outcome is Outcome.COMPLETED
    metrics = {name: curve[-1] for name, curve in state.curves.items()} if reached else {}
    extras = {
        **state.details,
        "classes": list(data.classes),
        "n": {"train": len(data.train), "val": len(data.val)},
        "data": data.fingerprint,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }
    return Result(outcome, metrics, state.curves, extras, state.epoch, describe(device), note)


def _checkpoints(cfg: DictConfig, context: Context, data: Data) -> Checkpoints | None:
    if context.checkpoint_dir is None:
        return None
    configuration = without(resolved(cfg), OmegaConf.select(cfg, "identity.exclude", default=()))
    return Checkpoints(context.checkpoint_dir, digest(configuration), configuration, data.fingerprint)


def _resume(state: State, checkpoints: Checkpoints | None, device: torch.device) -> str:
    """Go on from the newest checkpoint, where there is one, and return what is worth a note."""
    loaded = None if checkpoints is None else checkpoints.load(device)
    if loaded is None:
        return ""
    state.restore(loaded.state)
    return (
        f"went on from epoch {loaded.epoch}, for {', '.join(loaded.unreadable)} is damaged" if loaded.unreadable else ""
    )


def _check(cfg: DictConfig) -> None:
    for key in ("epochs", "batch_size"):
        if cfg[key] < 1:
            raise UserError(f"{key}={cfg[key]} trains nothing.", where=f"Key: {key}", next_step=f"Type {key}=1 or more")


def _mean(values: list[Tensor]) -> float:
    return torch.stack(values).double().mean().item()


def _prefixed(split: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{split}/{name}": value for name, value in values.items()}
