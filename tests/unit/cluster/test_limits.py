"""Shards become arrays: complete, within the limits, never more at once than was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from hpc_sweep.cluster.limits import Limits, chunks
from hpc_sweep.cluster.slurm import Task


@given(
    count=st.integers(0, 400),
    array=st.integers(1, 60),
    room=st.integers(0, 500),
    parallelism=st.integers(1, 100),
)
def test_chunks_are_a_partition_within_the_limits(count, array, room, parallelism):
    """Every shard that has room is in one chunk, in order; the sizes differ by at most one."""
    shards = list(range(1, count + 1))
    made = chunks(shards, Limits(array=array), room, parallelism)

    assert [shard for chunk in made for shard in chunk.shards] == shards[:room]
    assert all(1 <= len(chunk.shards) <= array for chunk in made)
    sizes = [len(chunk.shards) for chunk in made]
    assert not sizes or max(sizes) - min(sizes) <= 1


@given(count=st.integers(1, 400), array=st.integers(1, 60), parallelism=st.integers(1, 100))
def test_lanes_hold_the_parallelism_whatever_ends_when(count, array, parallelism):
    """Chunks that may run side by side are the heads of their lanes: together they are never wider than asked."""
    made = chunks(list(range(count)), Limits(array=array), count, parallelism)
    lane_of: dict[int, int] = {}
    for n, chunk in enumerate(made):
        assert chunk.after is None or chunk.after < n
        lane_of[n] = n if chunk.after is None else lane_of[chunk.after]
    followed = [chunk.after for chunk in made if chunk.after is not None]

    widest = {lane: max(made[n].parallelism for n in lane_of if lane_of[n] == lane) for lane in set(lane_of.values())}
    assert sum(widest.values()) <= max(parallelism, 1)
    assert len(followed) == len(set(followed))


def test_room_counts_all_jobs_for_the_cluster_and_ones_own_for_the_user():
    """MaxJobCount counts everybody's tasks, finished ones too; MaxSubmitJobs one's own that are not over."""
    mine = [Task("root", "1", n, "a", "PENDING", "") for n in range(3)] + [Task("root", "1", 9, "a", "COMPLETED", "")]
    others = [Task("other", "2", n, "b", "RUNNING", "") for n in range(5)]

    assert Limits(jobs=10).room(mine + others) == 1
    assert Limits(jobs=5).room(mine + others) == 0


def test_ones_own_limit_counts_what_is_not_over(monkeypatch):
    """The user is asked of the system."""
    monkeypatch.setenv("LOGNAME", "someone")
    tasks = [Task("someone", "1", n, "a", "PENDING", "") for n in range(3)] + [Task("else", "2", 0, "b", "RUNNING", "")]

    assert Limits(mine=10).room(tasks) == 7
