"""From Hydra's jobs to trials."""

import math

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hpc_sweep.compose import form, here  # noqa: F401 because it registers the resolver of the shipped conf/
from hpc_sweep.compose.settings import Settings
from hpc_sweep.compose.trials import fixed_keys, identify, task_of, with_changes
from hpc_sweep.errors import UserError
from hpc_sweep.identity import resolved, trial_id
from hpc_sweep.plan import append_part, apply, read_plan
from tests.conftest import ROOT


def composed(*overrides):
    """Compose the shipped configuration as one job of a sweep."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=list(overrides), return_hydra_config=True)


def trial(*overrides, fixed=()):
    """Return the identified job."""
    config = composed(*overrides)
    return identify(config, set(fixed), Settings.read(task_of(config), {}), 1)


def test_swept_values_have_their_types():
    """Numbers are numbers, a config group's choice is its name, and a list is a list."""
    job = trial(
        "model.dropout=0.3", "epochs=3", "optimizer=sgd", "optimizer.nesterov=false", "model.channels=[4,8,8,8]"
    )

    assert job.trial.params == {
        "model.dropout": 0.3,
        "epochs": 3,
        "optimizer": "sgd",
        "optimizer.nesterov": False,
        "model.channels": [4, 8, 8, 8],
    }


def test_the_replicate_is_no_part_of_the_configuration():
    """Two seeds of one configuration are two trials with equal parameters."""
    one, other = trial("model.dropout=0.3", "seed=1"), trial("model.dropout=0.3", "seed=2")

    assert one.trial.params == other.trial.params == {"model.dropout": 0.3}
    assert (one.trial.replicate, other.trial.replicate) == (1, 2)
    assert one.trial.id != other.trial.id


def test_what_the_command_line_fixed_is_not_swept():
    """A value that every trial shares is no hyperparameter of the sweep."""
    assert trial("model.dropout=0.3", "epochs=3", fixed={"epochs"}).trial.params == {"model.dropout": 0.3}
    assert fixed_keys(composed("epochs=3", "experiment=task11")) == {"epochs", "experiment"}


def test_the_same_configuration_is_the_same_trial_whatever_the_text():
    """Identity is the resolved configuration, and never the override text or its order."""
    one = trial("model.dropout=0.3", "optimizer.lr=0.001")
    other = trial("optimizer.lr=1e-3", "++model.dropout=0.30")

    assert one.trial.id == other.trial.id


def test_where_the_data_lie_is_no_part_of_the_identity():
    """Data are identified by their content, which stands in sweep.json."""
    elsewhere = trial("data.cache=/here", fixed={"data.cache"})

    assert elsewhere.trial.id == trial().trial.id
    assert elsewhere.trial.id != trial("data.split=clip").trial.id


def test_a_swept_key_that_cannot_change_the_result_is_a_mistake():
    """Its trials would all be one."""
    with pytest.raises(UserError, match=r"data\.cache"):
        trial("data.cache=/here")


def test_changes_rebuild_every_configuration_of_a_part():
    """Config groups included."""
    jobs = [trial("model.dropout=0.3"), trial("optimizer=sgd"), trial("augment=none")]

    trials = with_changes(jobs, jobs[0].raw)

    assert [apply(jobs[0].raw, one.changes) for one in trials] == [dict(job.raw) for job in jobs]


def test_the_size_of_a_stack_is_checked_when_settings_are_read():
    """Our own tasks take auto, 1 and more; an app's own task function trains one trial, so stacks are refused."""
    ours, theirs = task_of(composed()), OmegaConf.create({"lr": 0.1})

    for size in ("auto", 1):
        Settings.read(ours, {"stack_size": size})
        Settings.read(theirs, {"stack_size": size})
    Settings.read(ours, {"stack_size": 8})
    with pytest.raises(UserError, match="an app's own task function trains one trial"):
        Settings.read(theirs, {"stack_size": 8})
    wrong = {0: "0", -1: "-1", "many": '"many"', 1.5: "1.5", "4": '"4"', math.inf: "Infinity"}
    for size, said in [*wrong.items(), (True, "true"), (None, "null"), ([2], "[2]")]:
        with pytest.raises(UserError, match="stack_size=auto") as refusal:
            Settings.read(ours, {"stack_size": size})
        assert said in refusal.value.what


def test_retries_are_a_number_of_times():
    """Zero tries no trial again; less cannot be meant."""
    ours = task_of(composed())

    Settings.read(ours, {"retries": 0})
    with pytest.raises(UserError, match=r"hydra\.launcher\.retries=0"):
        Settings.read(ours, {"retries": -1})


@pytest.mark.parametrize("typed", ["1.5", "true", "null", "'4'", "[2]"])
def test_hydra_leaves_the_size_of_a_stack_to_us(typed):
    """Of a type that it cannot have, too: what is told then says what may be typed."""
    config = composed("hydra/launcher=sharded_local", f"hydra.launcher.stack_size={typed}")

    with pytest.raises(UserError, match="stack_size=auto"):
        Settings.read(task_of(config), OmegaConf.to_container(config.hydra.launcher))


def test_isolated_trials_in_stacks_cannot_be_meant():
    """Each alone in its process is what auto and 1 give then; more is refused with both keys."""
    ours = task_of(composed())

    for size in ("auto", 1):
        Settings.read(ours, {"stack_size": size, "isolate": True})
    Settings.read(ours, {"stack_size": 18, "isolate": False})
    with pytest.raises(UserError, match="isolate=true gives each trial its own process, and stack_size=18 asks"):
        Settings.read(ours, {"stack_size": 18, "isolate": True})


@pytest.mark.parametrize("values", [("inf", "1.0"), ("1.0", "inf"), ("inf", "-inf"), ("inf", "nan")])
def test_a_number_that_is_not_finite_reaches_its_trial_as_a_number(tmp_path, values):
    """In the plan's base and in its changes, also through an interpolation and in a list, though JSON has no form."""
    extra = ("+again=${optimizer.clip_norm}", "+several=[1.0,inf,{low:-inf}]")
    jobs = [trial(f"optimizer.clip_norm={value}", *extra) for value in values]
    base = dict(jobs[0].raw)
    append_part(tmp_path, with_changes(jobs, base), [2], sweep="s", base=base, form=form.REBUILT)

    (part,) = read_plan(tmp_path, sweep="s").parts
    rebuilt = [form.configuration(part, one) for one in part.trials]

    assert [repr(cfg.optimizer.clip_norm) for cfg in rebuilt] == list(values)
    assert [repr(cfg.again) for cfg in rebuilt] == list(values)
    assert rebuilt[0].several == [1.0, float("inf"), {"low": float("-inf")}]
    assert [trial_id(resolved(cfg), cfg.identity.exclude) for cfg in rebuilt] == [job.trial.id for job in jobs]
