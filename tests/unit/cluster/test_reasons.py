"""Slurm's reasons in words."""

from pathlib import Path

import pytest

from hpc_sweep.cluster import reasons
from hpc_sweep.cluster.states import Place, Standing


@pytest.mark.parametrize(
    ("reason", "held"),
    [
        ("JobHeldUser", True),
        ("JobArrayTaskLimit,JobHeldAdmin", True),
        ("launch failed requeued held", True),
        ("PartitionTimeLimit", True),
        ("Priority", False),
        ("ReqNodeNotAvail, UnavailableNodes:gpu1", False),
        ("None", False),
    ],
)
def test_some_reasons_wait_for_a_person(reason, held):
    """The others end by themselves."""
    assert reasons.holds(reason) is held


def test_shards_that_stand_alike_are_one_sentence_with_a_remedy():
    """A thousand held tasks are one line; what runs or is over needs none."""
    held = [Place(n, Standing.HELD, f"7_{n}", "PENDING", "JobHeldUser") for n in range(1, 1001)]
    fine = [Place(2000, Standing.RUNNING, "7_2000", "RUNNING", "None"), Place(2001, Standing.OVER)]
    lines = reasons.explained([*held, *fine, Place(3000, Standing.UNSENT)], Path("/my sweep"))

    assert lines == [
        "1000 shards (from 1): held: a user holds it. Type: scontrol release 7_1",
        "Shard 3000: not submitted. Type: hpc-sweep resume '/my sweep'",
    ]


def test_a_reason_that_nobody_knows_stays_in_slurms_words():
    """New versions have new reasons."""
    assert reasons.words("SomethingNew") == "SomethingNew"
    assert "QOSMaxJobsPerUserLimit" in reasons.words("QOSMaxJobsPerUserLimit")
