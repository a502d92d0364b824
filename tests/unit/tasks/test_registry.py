"""The tasks by name: looked up when asked for, and torch only to train."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from hpc_sweep import tasks
from hpc_sweep.errors import UserError
from hpc_sweep.trial import Quiet


@pytest.mark.parametrize(
    "call", [tasks.prepare, tasks.fingerprint, lambda cfg: tasks.train(cfg, Quiet())], ids=["prepare", "print", "train"]
)
@pytest.mark.parametrize("name", ["instrument", "os", "..plan", ""])
def test_an_unknown_task_is_refused_with_the_known_ones(call, name):
    """A name that is no task is never imported."""
    with pytest.raises(UserError, match="task=instruments"):
        call(OmegaConf.create({"task": name, "data": {}}))


def test_planning_needs_no_torch(run_python):
    """Preparing and fingerprinting the data of every task leaves torch unimported."""
    script = (
        "import sys; from omegaconf import OmegaConf; from hpc_sweep import tasks\n"
        "assert not [name for name in sys.modules if name.startswith('hpc_sweep.tasks.')]\n"
        "data = dict(source='embedded', root=None, cache=None, size=32, split='song', validation=0.2, split_seed=0)\n"
        "cfg = OmegaConf.create(dict(task='instruments', data=data))\n"
        "print(*tasks.prepare(cfg)); print(tasks.fingerprint(cfg)); assert 'torch' not in sys.modules\n"
    )
    done = run_python("-c", script)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()[-1]) == 64
