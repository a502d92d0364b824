"""A trial trains on the data of its sweep, or not at all."""

from omegaconf import OmegaConf

from hpc_sweep import ledger, paths, tasks
from hpc_sweep.compose import form
from hpc_sweep.objective import Objective
from hpc_sweep.plan import append_part, differences, partition, read_plan
from hpc_sweep.runtime.failures import of_exception
from hpc_sweep.training.listener import Ending, Listener
from hpc_sweep.trial import Outcome, Quiet, Result, Trial

CFG = OmegaConf.create({"task": "instruments", "data": {"source": "embedded", "size": 32}})
UNREADABLE = OmegaConf.create({"task": "instruments", "data": {"source": "embedded", "size": "${nowhere}"}})


def test_other_data_refuse_a_trial_for_good():
    """The fingerprint is compared before it trains; the failure is none that another try could mend."""
    endings = []
    form._train_on_known_data([(CFG, None, "")], Listener(endings.append), "d" * 64, "auto", ())

    (ending,) = endings
    failure = of_exception(ending.error)
    assert (failure.reason, failure.retryable) == ("refused", False)
    assert "The data were changed before it trained" in failure.text
    assert "resume <sweep> --failed" in failure.text


def test_one_of_several_data_sets_of_a_sweep_is_known():
    """A sweep over data has a fingerprint for each; a recording without any is not compared."""
    known = f"{'d' * 64}+{tasks.fingerprint(CFG)}"

    assert form._other_data(CFG, known, "now") is None
    assert form._other_data(CFG, "", "now") is None


def test_data_that_cannot_be_looked_at_end_their_trial_only():
    """Whatever is raised there is that trial's, and the next one is looked at."""
    endings = []
    trials = [(UNREADABLE, None, ""), (CFG, None, "")]
    form._train_on_known_data(trials, Listener(endings.append), "d" * 64, "auto", ())

    assert [ending.index for ending in endings] == [0, 1]
    assert "nowhere" in str(endings[0].error)
    assert "The data were changed" in str(endings[1].error)


def test_a_finished_result_outlives_data_that_cannot_be_read_any_more():
    """It was trained on data that had been looked at; a note says what could not be seen."""
    ending = Ending(0, Result(Outcome.COMPLETED, {"val/x": 1.0}), None, 1.0)

    kept = form._on_known_data(ending, UNREADABLE, "d" * 64)

    assert kept.error is None
    assert kept.result.metrics == {"val/x": 1.0}
    assert "the data could not be read again" in kept.result.note
    assert form._on_known_data(ending, CFG, "d" * 64).result is None
    assert form._on_known_data(ending, CFG, "") == ending


def test_a_trial_that_cannot_be_composed_ends_only_itself(tmp_path):
    """Its configuration asks for what this machine does not have; its neighbours come as far as they would."""
    sweep = paths.Sweep(tmp_path / "sweep")
    sweep.root.mkdir()
    ledger.write_identity(sweep, ledger.Identity("s", Objective("val/x", "max"), "", {}, "", {}, ""))
    base = {"task": "knitting", "at": 0}
    there = tuple(differences(base, {**base, "at": "${oc.env:NOWHERE_TO_BE_FOUND}"}))
    changes = [(), there, ()]
    trials = [Trial(n, f"id{n}", (), {"x": n}, None, change) for n, change in enumerate(changes, start=1)]
    sizes = partition(3, shards=1, trials_per_shard=None)
    append_part(sweep.plan, trials, sizes, sweep="s", base=base, form=form.REBUILT)
    plan, endings = read_plan(sweep.plan, sweep="s"), {}

    train_all = form.loader(sweep, plan, "auto")
    listener = Listener(lambda ending: endings.update({ending.index: str(ending.error)}))
    train_all([(trial, Quiet()) for trial in plan.shard(1)], listener, ())

    assert "NOWHERE_TO_BE_FOUND" in endings[1]
    assert all("There is no task 'knitting'" in endings[index] for index in (0, 2))
