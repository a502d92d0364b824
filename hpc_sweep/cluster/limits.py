"""What a cluster lets one user submit, and how shards become arrays within it."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpc_sweep.cluster import slurm
from hpc_sweep.errors import SchedulerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.cluster.slurm import Task

UNLIMITED = 10**9
MESSAGE_TIMEOUT = 10.0


@dataclass(frozen=True)
class Limits:
    """``array`` bounds the index of a task, ``jobs`` the tasks of all users, ``mine`` those of one user.

    ``silence`` is after how many seconds Slurm's own commands give up.
    """

    array: int = 1001
    jobs: int = UNLIMITED
    mine: int = UNLIMITED
    silence: float = MESSAGE_TIMEOUT

    def room(self, queue: Sequence[Task]) -> int:
        """Return how many tasks more may be queued now."""
        user = getpass.getuser()
        waiting = sum(task.live or task.ending for task in queue if task.user == user)
        return max(min(self.jobs - len(queue), self.mine - waiting), 0)


@dataclass(frozen=True)
class Chunk:
    """The shards of one array, how many of its tasks may run at once, and the chunk that must end before it begins."""

    shards: tuple[int, ...]
    parallelism: int
    after: int | None


def read(account: str | None = None, qos: str | None = None) -> Limits:
    """Ask Slurm for its limits; what it does not say is no limit."""
    config = dict(_setting(line) for line in slurm.ask("scontrol", "show", "config").splitlines() if "=" in line)
    return Limits(
        array=_number(config.get("MaxArraySize"), 1001),
        jobs=_number(config.get("MaxJobCount"), UNLIMITED),
        mine=_mine(account, qos) if "slurmdbd" in config.get("AccountingStorageType", "") else UNLIMITED,
        silence=float(_number(config.get("MessageTimeout"), int(MESSAGE_TIMEOUT))),
    )


def chunks(shards: Sequence[int], limits: Limits, room: int, parallelism: int) -> list[Chunk]:
    """Cut shards into arrays: as many as there is room for, each within the limit on an index.

    Together their tasks never run more than ``parallelism`` at once: the chunks stand in as many lanes as they may run
    side by side, each lane has its part of the parallelism, and in a lane one chunk follows the other.

    >>> [(chunk.shards, chunk.parallelism, chunk.after) for chunk in chunks([1, 2, 3, 4, 5], Limits(array=2), 99, 2)]
    [((1, 2), 1, None), ((3, 4), 1, None), ((5,), 1, 0)]
    """
    fitting = shards[:room]
    if not fitting:
        return []
    number = -(-len(fitting) // limits.array)
    sizes = [len(fitting) // number + (index < len(fitting) % number) for index in range(number)]
    lanes = min(number, max(parallelism, 1))
    widths = [parallelism // lanes + (lane < parallelism % lanes) for lane in range(lanes)]
    made, begin = [], 0
    for index, size in enumerate(sizes):
        after = index - lanes if index >= lanes else None
        made.append(Chunk(tuple(fitting[begin : begin + size]), max(widths[index % lanes], 1), after))
        begin += size
    return made


def _mine(account: str | None, qos: str | None) -> int:
    """Return the lowest of the limits that the accounting puts on this user's queued jobs."""
    where = [f"user={getpass.getuser()}", *([f"account={account}"] if account else [])]
    rows = _accounting("associations", where, "MaxSubmitJobs,GrpSubmitJobs,DefaultQOS")
    names = {qos} if qos else {row[-1] for row in rows if row[-1]}
    if names:
        rows += _accounting("qos", [f"name={','.join(sorted(names))}"], "MaxSubmitJobsPerUser,GrpSubmitJobs")
    return min((int(word) for row in rows for word in row[:2] if word.isdigit()), default=UNLIMITED)


def _accounting(what: str, where: Sequence[str], fields: str) -> list[list[str]]:
    command = ("sacctmgr", "--noheader", "--parsable2", "show", what, "where", *where, f"format={fields}")
    try:
        return [line.split("|") for line in slurm.ask(*command).splitlines()]
    except SchedulerError:
        return []


def _setting(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name.strip(), value.strip()


def _number(text: str | None, otherwise: int) -> int:
    digits = (text or "").split()[0] if text else ""
    return int(digits) if digits.isdigit() else otherwise
