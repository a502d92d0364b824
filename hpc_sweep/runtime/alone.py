"""Training one trial after the other, for tasks that know of one trial only: those of foreign apps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hpc_sweep.runtime.context import entered
from hpc_sweep.training.listener import Ending
from hpc_sweep.trial import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hpc_sweep.runtime.worker import TrainAll
    from hpc_sweep.training.listener import Listener
    from hpc_sweep.trial import Context, Result, Trial

    Train = Callable[[Trial, Context], Result]


def one_by_one(train: Train) -> TrainAll:
    """Return what trains a list of trials with a function that trains one; no choice binds it."""

    def train_all(
        trials: Sequence[tuple[Trial, Context]], listener: Listener, earlier: Sequence[Mapping[str, Any]]
    ) -> None:
        del earlier
        for index, (trial, context) in enumerate(trials):
            if context.stop_requested:
                raise StoppedError
            listener.begun(index)
            listener.ended(_ending(train, index, trial, context))

    return train_all


def _ending(train: Train, index: int, trial: Trial, context: Context) -> Ending:
    begun = time.monotonic()
    result, reason = None, None
    try:
        with entered(context):
            result = train(trial, context)
    except StoppedError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 because a failing trial ends only itself
        reason = error
    return Ending(index, result, reason, time.monotonic() - begun)
