"""``K`` unmodified models as branches of one CUDA graph: the sequential engine's kernels, launched all at once.

Off a GPU there is no graph, and the branches run one after the other. Learning rates are part of a graph, as the very
numbers that an eager step would use: when a schedule has changed one, the next step is captured anew.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from hpc_sweep.training import dropout
from hpc_sweep.training.engines.base import Crew, Step, Unfit, modes
from hpc_sweep.training.engines.sequential import Sequential
from hpc_sweep.training.feed import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from torch.optim import Optimizer

_WARM_STEPS = 3
"""How many steps torch asks to be taken on a side stream before a capture."""
_STREAMS = 8


class Packed(Sequential):
    """Bit for bit the sequential engine; on a GPU its steps after the first are one replay."""

    name = "packed"

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._rates: list[float] = []
        self._seen = 0
        if crew.device.type == "cuda" and not all(_capturable(state.optimizer) for state in crew.states):
            raise Unfit("an optimizer that cannot be captured in a CUDA graph")

    def begin(self) -> None:
        """Drop the graph when a learning rate has changed since it was captured."""
        if self._rates != self._current_rates():
            self._graph = None

    def step(self, batch: Batch, keys: Tensor, guards: Sequence[int]) -> Step:
        """Take one step of all members: eager at first, then by capture and replay."""
        if self._crew.device.type != "cuda":
            return super().step(batch, keys, guards)
        modes(self._models, training=True)
        self._seen += 1
        if self._seen <= _WARM_STEPS:
            return self._aside(batch, keys, guards)
        if self._graph is None:
            self._capture(batch, keys)
        self._copy(batch, keys)
        assert self._graph is not None
        self._graph.replay()
        return Step(self._left.loss.clone(), [out.clone() for out in self._left.out])

    def _aside(self, batch: Batch, keys: Tensor, guards: Sequence[int]) -> Step:
        """Take a step on a side stream, as capture asks of the steps before it."""
        side, here = _stream(), torch.cuda.current_stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            step = super().step(batch, keys, guards)
        here.wait_stream(side)
        return step

    def _capture(self, batch: Batch, keys: Tensor) -> None:
        other, kept = (None if part is None else part.clone() for part in (batch.other, batch.kept))
        self._batch = Batch(batch.x.clone(), batch.y.clone(), batch.sources, other, kept)
        self._keys = keys.clone()
        self._rates = self._current_rates()
        graph = torch.cuda.CUDAGraph()
        with self._capturable():
            for state in self._crew.states:
                state.optimizer.zero_grad()
            with torch.cuda.graph(graph):
                self._left = self._branches()
        self._graph = graph

    def _current_rates(self) -> list[float]:
        return [group["lr"] for state in self._crew.states for group in state.optimizer.param_groups]

    @contextmanager
    def _capturable(self) -> Iterator[None]:
        """Let torch capture the steps of stock optimizers; between captures their options are what they were."""
        groups = [group for state in self._crew.states for group in state.optimizer.param_groups]
        before = [group.get("capturable") for group in groups]
        for group in groups:
            group["capturable"] = True
        try:
            yield
        finally:
            for group, option in zip(groups, before, strict=True):
                group["capturable"] = option
                if option is None:
                    del group["capturable"]  # SGD knows no such option, but torch asks for it while it captures

    def _branches(self) -> Step:
        here = torch.cuda.current_stream()
        lanes = [_stream() for _ in range(min(_STREAMS, len(self._models)))]
        for lane in lanes:
            lane.wait_stream(here)
        taken = []
        for k in range(len(self._models)):
            with torch.cuda.stream(lanes[k % len(lanes)]):
                dropout.tell(self._places[k], self._keys[:, k])
                taken.append(self._descend(k, self._batch.of(k)))
        for lane in lanes:
            here.wait_stream(lane)
        return self._gathered(taken)

    def _copy(self, batch: Batch, keys: Tensor) -> None:
        """Put a batch where the graph reads it; its shapes and sources are those of the capture."""
        if batch.sources != self._batch.sources or batch.x.shape != self._batch.x.shape:
            self._graph = None
            self._capture(batch, keys)
        for ours, theirs in zip(self._batch, batch, strict=True):
            if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
                ours.copy_(theirs)
        self._keys.copy_(keys)


def _stream() -> torch.cuda.Stream:
    stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it without types
    return stream


def _capturable(optimizer: Optimizer) -> bool:
    """Tell whether an optimizer keeps all of its state on the device."""
    return all(group.get("fused") and not isinstance(group["lr"], torch.Tensor) for group in optimizer.param_groups)
