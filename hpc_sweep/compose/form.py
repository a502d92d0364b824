"""What a worker needs to run a trial: rebuilt from the plan's JSON for our own tasks, carried as one pickle otherwise.

The pickle is read by shards only, after its sha256 was compared with the one in the plan part; the identity of every
trial in it is compared with the plan before the task function is called.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
from hydra.core.singleton import Singleton
from hydra.core.utils import JobStatus, run_job, setup_globals
from omegaconf import OmegaConf, open_dict, read_write
from omegaconf.basecontainer import BaseContainer

from hpc_sweep import ledger, records, tasks
from hpc_sweep.compose.repeated import on_replicate
from hpc_sweep.compose.trials import task_of
from hpc_sweep.errors import CorruptRecordError, UserError
from hpc_sweep.identity import plain, resolved, restored, trial_id
from hpc_sweep.runtime.alone import one_by_one
from hpc_sweep.training.listener import Ending
from hpc_sweep.trial import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hydra.types import HydraContext
    from omegaconf import DictConfig

    from hpc_sweep import paths
    from hpc_sweep.compose.settings import Settings
    from hpc_sweep.compose.trials import Composed
    from hpc_sweep.plan import Part, Plan
    from hpc_sweep.runtime.worker import TrainAll
    from hpc_sweep.training.listener import Listener
    from hpc_sweep.trial import Context, Trial

    Composition = tuple[DictConfig, Context, str]  # a resolved configuration, whom it tells, and the trial's planned id

REBUILT, CARRIED = "rebuilt", "carried"
_HYDRAS_OWN = ("hydra", "now", "python_version")


class ChangedDataError(UserError):
    """The data are not those that the sweep was planned with."""


def carry(
    sweep: paths.Sweep,
    composed: Sequence[Composed],
    task: Callable[..., Any],
    context: HydraContext,
    settings: Settings,
) -> str:
    """Write what a foreign app's trials need as one pickle and return its sha256."""
    form = {
        "configs": {job.trial.id: job.config for job in composed},
        "task": task,
        "context": context,
        "singletons": Singleton.get_state(),
        "resolvers": _custom_resolvers(),
        "identity": (settings.exclude, settings.volatile),
    }
    try:
        pickled = cloudpickle.dumps(form)
    except Exception as error:  # anything that a user's object raises when it is pickled
        raise UserError(
            f"The task cannot be carried to another process: {error}.",
            next_step="Keep what cannot be pickled (locks, open files, generators) out of the task function's closure.",
        ) from error
    sha256 = hashlib.sha256(pickled).hexdigest()
    path = sweep.transport(sha256)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    records.publish_bytes(path, pickled)
    return sha256


def loader(sweep: paths.Sweep, plan: Plan, stack_size: int | str) -> TrainAll:
    """Return what trains the trials of a plan: our own in stacks, carried ones one by one; called in the worker."""
    carried: dict[int, Callable[[Trial, Trial, Part], Result]] = {}
    data = ledger.read_identity(sweep).data

    def train_carried(trial: Trial, context: Context) -> Result:
        del context
        origin = plan.origin(trial)
        home = plan.part_of(origin)
        if home.number not in carried:
            carried[home.number] = _carried(sweep, home)
        return carried[home.number](trial, origin, plan.part_of(trial))

    def train_all(
        trials: Sequence[tuple[Trial, Context]], listener: Listener, earlier: Sequence[Mapping[str, Any]]
    ) -> None:
        parts: dict[int, list[int]] = {}
        for index, (trial, _) in enumerate(trials):
            parts.setdefault(trial.part, []).append(index)
        for indices in parts.values():
            some, listening = [trials[index] for index in indices], listener.of(indices)
            part = plan.part_of(some[0][0])
            if part.form == REBUILT:
                composed, sound = _composed(part, some, listening)
                _train_on_known_data(composed, listening.of(sound), data, stack_size, earlier)
            else:
                one_by_one(train_carried)(some, listening, earlier)

    return train_all


def warm(part: Part) -> None:
    """Import what trains the trials of a part when they are our own; a foreign app may compute when it is imported."""
    if part.form == REBUILT:
        tasks.warm(part.base.get("task"))


def _composed(
    part: Part, trials: Sequence[tuple[Trial, Context]], listener: Listener
) -> tuple[list[Composition], list[int]]:
    """Return what is needed of each trial to train it, and its index; one that cannot be composed has ended."""
    composed: list[Composition] = []
    sound: list[int] = []
    for index, (trial, context) in enumerate(trials):
        try:
            composed.append((configuration(part, trial), context, trial.id))
            sound.append(index)
        except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
            listener.ended(Ending(index, None, error, 0.0))
    return composed, sound


def _train_on_known_data(
    trials: Sequence[Composition],
    listener: Listener,
    data: str,
    stack_size: int | str,
    earlier: Sequence[Mapping[str, Any]],
) -> None:
    """Train our own trials on the sweep's data; a result of other data is none."""
    sound: list[int] = []
    for index, (cfg, _, _) in enumerate(trials):
        refusal = _other_data(cfg, data, "before it trained")
        if refusal is None:
            sound.append(index)
        else:
            listener.ended(Ending(index, None, refusal, 0.0))
    told = listener.of(sound)

    def ended(ending: Ending) -> None:
        told.ended(_on_known_data(ending, trials[sound[ending.index]][0], data))

    if sound:
        some = [trials[index][:2] for index in sound]
        ids = [trials[index][2] for index in sound]
        listening = replace(told, ended=ended)
        tasks.train_all(some, listening, stack_size=stack_size, earlier=earlier, ids=ids)


def _on_known_data(ending: Ending, cfg: DictConfig, data: str) -> Ending:
    """Return an ending without its result when the data are others by now; a note when that cannot be told."""
    try:
        _require_data(cfg, data, "while it trained, so its result does not count")
    except ChangedDataError as changed:
        return replace(ending, result=None, error=changed)
    except Exception as error:  # noqa: BLE001 because what is finished was trained on data that had been looked at
        if ending.result is None:
            return ending
        note = f"the data could not be read again afterwards: {type(error).__name__}: {error}".splitlines()[0]
        return replace(ending, result=replace(ending.result, note=f"{ending.result.note}; {note}".lstrip("; ")))
    return ending


def _other_data(cfg: DictConfig, data: str, when: str) -> Exception | None:
    """Return the refusal of a trial whose data are not those of the sweep, or what kept them from being read."""
    try:
        _require_data(cfg, data, when)
    except Exception as error:  # noqa: BLE001 because a failing trial ends only itself
        return error
    return None


def _require_data(cfg: DictConfig, data: str, when: str) -> None:
    """Raise ChangedDataError unless the data of a trial are those of the sweep."""
    found = tasks.fingerprint(cfg)
    if data and found not in data.split("+"):
        raise ChangedDataError(
            f"The data were changed {when}: their fingerprint is {found[:12]}, the sweep's is {data[:12]}.",
            where=f"Data: {OmegaConf.to_container(cfg.data, resolve=True)}",
            next_step="Bring the data back and type hpc-sweep resume <sweep> --failed, or sweep anew elsewhere.",
        )


def configuration(part: Part, trial: Trial) -> DictConfig:
    """Return the resolved, read-only task configuration of one of our own trials."""
    cfg: DictConfig = OmegaConf.create(restored(part.configuration(trial)))
    OmegaConf.resolve(cfg)
    OmegaConf.set_readonly(cfg, value=True)
    return cfg


def result_of(value: object) -> Result:
    """Judge what a foreign task function returned: a number, a mapping with numbers in it, or anything else.

    An unsplit metric counts as measured on ``val``; what is no number is kept and has no score.
    """
    pairs = value.items() if isinstance(value, dict) else [("objective", value)]
    numbers = {str(name): float(number) for name, given in pairs if (number := _number(given)) is not None}
    metrics = {name if "/" in name else f"val/{name}": number for name, number in numbers.items()}
    finite = {name: number for name, number in metrics.items() if math.isfinite(number)}
    wrong = sorted(metrics.keys() - finite.keys())
    outcome = Outcome.DIVERGED if wrong else Outcome.COMPLETED
    note = f"{wrong[0]} is {metrics[wrong[0]]}" if wrong else ""
    return Result(outcome, finite, note=note, value=plain(_python(value)))


def _carried(sweep: paths.Sweep, part: Part) -> Callable[[Trial, Trial, Part], Result]:
    form = _unpickle(sweep, part)
    setup_globals()
    Singleton.set_state(form["singletons"])
    exclude, volatile = form["identity"]

    # A foreign task function asks `hpc_sweep.runtime.context.current()` for its context.
    def train(trial: Trial, origin: Trial, planned: Part) -> Result:
        config = form["configs"][origin.id]
        if planned.confirms is not None:
            config = on_replicate(config, planned.confirms["replicate"], trial)
        if trial_id(resolved(task_of(config), volatile), exclude) != trial.id:
            raise CorruptRecordError("The carried configuration is not the planned one.", where=f"Trial {trial.number}")
        _follow_move(config, sweep)
        return _run(config, form)

    return train


def _follow_move(config: DictConfig, sweep: paths.Sweep) -> None:
    """Let a trial of a sweep that was moved write where the sweep is now."""
    if Path(str(config.hydra.sweep.dir)).resolve() != sweep.root.resolve():
        with read_write(config), open_dict(config):
            config.hydra.sweep.dir = str(sweep.root)


def _run(config: DictConfig, form: Mapping[str, Any]) -> Result:
    returned = run_job(
        hydra_context=form["context"],
        task_function=form["task"],
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    value = returned._return_value  # noqa: SLF001 because the property prints and raises in one
    if returned.status is JobStatus.FAILED:
        raise value
    return result_of(value)


def _unpickle(sweep: paths.Sweep, part: Part) -> dict[str, Any]:
    path = sweep.transport(part.form_sha256)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        pickled = file.read()
    if hashlib.sha256(pickled).hexdigest() != part.form_sha256:
        raise CorruptRecordError("The carried form of this plan part was changed.", where=f"File: {path}")
    # Custom resolvers and the app's own modules must be there before its configuration is touched.
    form: dict[str, Any] = cloudpickle.loads(pickled)
    BaseContainer._resolvers.update(form["resolvers"])  # noqa: SLF001 because OmegaConf has no other way to carry them
    return form


def _custom_resolvers() -> dict[str, Any]:
    resolvers = BaseContainer._resolvers  # noqa: SLF001 because OmegaConf has no other way to list them
    return {name: call for name, call in resolvers.items() if not name.startswith("oc.") and name not in _HYDRAS_OWN}


def _number(value: object) -> float | None:
    number = _python(value)
    return float(number) if isinstance(number, Real) and not isinstance(number, bool) else None


def _python(value: object) -> object:
    """Turn a numpy or torch scalar into Python's, without knowing either library."""
    shape = getattr(value, "shape", None)
    item = getattr(value, "item", None)
    return item() if shape == () and callable(item) else value
