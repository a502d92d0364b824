"""A trial trains on the data of its sweep, or not at all."""

from omegaconf import OmegaConf

from hpc_sweep import tasks
from hpc_sweep.compose import form
from hpc_sweep.runtime.failures import of_exception
from hpc_sweep.training.listener import Listener

CFG = OmegaConf.create({"task": "instruments", "data": {"source": "embedded", "size": 32}})


def test_other_data_refuse_a_trial_for_good():
    """The fingerprint is compared before it trains; the failure is none that another try could mend."""
    endings = []
    form._train_on_known_data([(CFG, None)], Listener(endings.append), "d" * 64, "auto", ())

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
