"""What Slurm says is read: refused, full, unclear; live, ending, over."""

import pytest

from hpc_sweep.cluster import slurm
from hpc_sweep.errors import UserError

REFUSED = [
    "sbatch: error: Batch job submission failed: Invalid partition name specified",
    "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: Invalid partition name",
    "sbatch: error: Batch job submission failed: Invalid job array specification",
    "sbatch: error: Invalid --time specification",
    "sbatch: error: Unable to open file /x",
    "sbatch: unrecognized option '--reqeue=False'\nTry \"sbatch --help\" for more information",
    "sbatch: option '--requeue' doesn't allow an argument\nTry \"sbatch --help\" for more information",
]

FULL = [
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates policy",
    "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS",
    "sbatch: error: sleeping.\nsbatch: error: Batch job submission failed: Resource temporarily unavailable",
]

UNCLEAR = [
    "",
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
    "sbatch: error: Batch job submission failed: Connection refused",
    "something that nobody has ever seen",
]


@pytest.mark.parametrize(
    ("texts", "kind"), [(REFUSED, UserError), (FULL, slurm.FullError), (UNCLEAR, slurm.UnclearError)]
)
def test_what_sbatch_says_is_told_apart(texts, kind):
    """Only a plain refusal says that the job is not there; what is not understood is unclear."""
    assert [type(slurm.refusal(text, 1)) for text in texts] == [kind] * len(texts)


@pytest.mark.parametrize(
    ("state", "live", "ending"),
    [
        ("PENDING", True, False),
        ("RUNNING", True, False),
        ("PREEMPTED", True, False),
        ("REQUEUED", True, False),
        ("COMPLETING", False, True),
        ("NODE_FAIL", False, False),
        ("COMPLETED", False, False),
    ],
)
def test_a_state_says_whether_a_task_may_still_run(state, live, ending):
    """What Slurm may requeue is not over."""
    task = slurm.Task("me", "1", 0, "token", state, "None")

    assert (task.live, task.ending) == (live, ending)
