"""Which sweeps can have fresh replicates, and the job of Hydra that one is."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf
from omegaconf.basecontainer import BaseContainer

from hpc_sweep.compose.fresh import refuse_unconfirmable
from hpc_sweep.compose.repeated import on_replicate
from hpc_sweep.compose.settings import Settings
from hpc_sweep.compose.trials import identify, task_of
from hpc_sweep.errors import UserError

OBJECTIVE = {"metric": "val/accuracy", "mode": "max", "at": "last", "replicate": "seed", "confirm": 2}
PARAMETERS = {"executor": "slurm", "objective": OBJECTIVE}


@pytest.fixture
def double():
    """Register a resolver of the app's own, as the process does that submits."""
    OmegaConf.register_new_resolver("double", lambda value: 2 * value)
    yield
    OmegaConf.clear_resolver("double")


def job(number=0, **task):
    """Return the configuration of one job, with what of the hydra node its identity and its folder need."""
    hydra = {
        "overrides": {"task": [f"x={number}"]},
        "runtime": {"choices": {}},
        "job": {"num": number, "id": str(number), "override_dirname": f"x={number}"},
        "sweep": {"dir": "sweep", "subdir": "${hydra.job.num}"},
        "sweeper": {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "max_batch_size": None},
    }
    return OmegaConf.create({"x": number, "seed": 3, **task, "hydra": hydra})


def ask(*configs, **parameters):
    """Ask for fresh replicates of a batch."""
    given = PARAMETERS | parameters
    settings = Settings.read(task_of(configs[0]), given)
    batch = [identify(config, (), settings, number) for number, config in enumerate(configs, start=1)]
    refuse_unconfirmable(batch, settings, configs[0], given)


@pytest.mark.usefixtures("double")
def test_what_only_the_submitter_can_resolve_is_refused():
    """Who plans the fresh replicates later has no resolver of the app, and would give them other ids."""
    with pytest.raises(UserError, match="a resolver of its own"):
        ask(job(y="${double:8}"))

    assert OmegaConf.has_resolver("double")


@pytest.mark.usefixtures("double")
def test_a_later_job_of_the_batch_is_looked_at_too():
    """One trial that could not be repeated is enough, wherever it stands in the batch."""
    with pytest.raises(UserError, match="a resolver of its own") as refused:
        ask(job(0, y=1), job(1, y="${double:8}"))

    assert refused.value.where == "Trial 2"


@pytest.mark.usefixtures("double")
def test_resolvers_that_everybody_has_are_no_obstacle():
    """OmegaConf's own resolve everywhere; what is excluded from the identity may say anything."""
    before = dict(BaseContainer._resolvers)

    ask(job(y="${oc.decode:'8'}", z="${y}", name="${double:8}"), identity={"exclude": ["name"]})

    assert before == BaseContainer._resolvers


@pytest.mark.parametrize(("exclude", "key"), [("seed", "seed"), ("data", "data.seed")])
def test_a_replicate_that_is_no_part_of_the_identity_is_refused(exclude, key):
    """All fresh replicates would be the trial that they repeat."""
    with pytest.raises(UserError, match=rf"identity.exclude says that '{key}' cannot change the result"):
        ask(job(data={"seed": 1}), identity={"exclude": [exclude]}, objective=OBJECTIVE | {"replicate": key})


@pytest.mark.parametrize("subdir", ["${hydra.job.num}", "${hydra.job.override_dirname}", "always_here"])
def test_a_fresh_replicate_never_gets_the_folder_of_another_job(subdir):
    """A job of the batch may have the number that a fresh replicate has: Hydra counts the duplicates, too."""
    config = job(2)
    config.hydra.sweep.subdir = subdir
    trial = identify(config, (), Settings.read(task_of(config), PARAMETERS), 2).trial

    fresh = on_replicate(config, "seed", replace(trial, number=3, replicate=4))

    assert fresh.hydra.sweep.subdir != config.hydra.sweep.subdir
    assert fresh.hydra.sweep.subdir.startswith("fresh/")
    assert (fresh.seed, fresh.hydra.job.num) == (4, 2)
