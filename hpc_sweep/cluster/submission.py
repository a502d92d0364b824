"""Submitting to Slurm so that any step may be the last: intent, script, sbatch, answer, and looking before repeating.

::

    settle        what became of intents that have no answer? squeue, accounting and started jobs are asked
    decide        which shards are owed and not in the queue; cut them into arrays that the limits allow
    publish       the next intent, right behind what was read; overtaken by another submitter, begin anew
    send          sbatch; after an unclear answer look up the token, and only then give the intent up
    answer        write down the job

A process that is killed between two of these leaves a log from which the next one goes on.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hpc_sweep.cluster import admission, limits, script, slurm
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster.reasons import command
from hpc_sweep.errors import SchedulerError, UserError
from hpc_sweep.runtime.claim import alive, notes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from hpc_sweep import paths
    from hpc_sweep.cluster.intent import Intent, Submission
    from hpc_sweep.cluster.limits import Chunk
    from hpc_sweep.cluster.slurm import Task

log = logging.getLogger(__name__)

TRIES = 4
POLL_SECONDS = 10.0
OUT_OF_SIGHT_SECONDS = 180.0
"""For how long a submitter on another machine is believed to be at work."""

SETTLING_SECONDS = 2.0
"""After a scheduler's first answer, how long it may take to serve the requests that waited while it hung."""

SILENCES = 3
"""How many times Slurm's own patience a look-up waits for an answer."""

NOT_FOUND = "Slurm does not know its job"


class OvertakenError(Exception):
    """The log went on while we decided; what was decided must be decided again."""


@dataclass
class Sent:
    """What one call submitted: the jobs of the arrays, the steward's job, and how many shards had to wait.

    ``live`` says that arrays of the sweep are in the queue, of this call or an earlier one.
    """

    arrays: list[str] = field(default_factory=list)
    shards: int = 0
    steward: str = ""
    left: int = 0
    live: bool = False


@dataclass
class Submitter:
    """A sweep, the intent that new ones are made after, and who is asking (a steward does not count itself).

    ``silence`` is after how many seconds Slurm's commands give up.
    """

    sweep: paths.Sweep
    sweep_id: str
    template: Intent
    own_token: str = ""
    silence: float = limits.MESSAGE_TIMEOUT

    def submit(self, owed: Callable[[Sequence[Submission]], Sequence[int]]) -> Sent:
        """Submit the shards that `owed` returns for a log and that are not in the queue, and the steward after them.

        SchedulerError when Slurm does not answer: nothing is lost, and the same call goes on where this one ended.
        """
        sent = Sent()
        self.sweep.job_output.mkdir(parents=True, exist_ok=True, mode=0o700)  # jobs without it fail without a word
        parameters = self.template.parameters
        allowed = limits.read(parameters.get("account"), parameters.get("qos"))
        most, self.silence, reason = allowed.jobs, allowed.silence, ""
        for _ in range(TRIES):
            settle(self.sweep, self.sweep_id, self.silence)
            after = intents.last(self.sweep)
            log = intents.submissions(self.sweep, self.sweep_id)
            tasks = slurm.queue()
            shards = [shard for shard in owed(log) if shard not in live_shards(self.sweep, log, tasks)]
            room = min(max(allowed.room(tasks) - 1, 0), most)  # one place is the steward's
            try:
                chunks = limits.chunks(shards, allowed, room, self._parallelism)
                after = self._send_arrays(chunks, after, sent, log, tasks)
                sent.left = len(shards) - len(shards[:room])
                sent.live = self._ensure_steward(after, sent)
                if sent.left and not sent.live:
                    raise _no_room(self.sweep, f"{len(tasks)} jobs are in the queue")
            except OvertakenError as error:
                reason = str(error) or "others submit the same sweep"
                continue
            except slurm.FullError as error:
                if room <= 1:
                    raise _no_room(self.sweep, str(error)) from None
                most = room // 2
                continue
            return sent
        raise SchedulerError(
            f"Slurm was asked {TRIES} times and took nothing: {reason}",
            where=f"Folder: {self.sweep.root}",
            next_step=f"Look at {command('status', self.sweep.root)}, and type the same command again later.",
        )

    @property
    def _parallelism(self) -> int:
        wanted: int = self.template.parameters.get("array_parallelism") or limits.UNLIMITED
        return wanted

    def _send_arrays(
        self, chunks: Sequence[Chunk], after: int, sent: Sent, log: Sequence[Submission], tasks: Sequence[Task]
    ) -> int:
        """Send one array for each chunk; return the number of the last entry that was read or written."""
        running = live_arrays(log, tasks)
        wanted = sum(len(chunk.shards) for chunk in chunks) + sum(task.live for task in _of(log, tasks))
        crowded = wanted > self._parallelism
        jobs: list[str] = []
        for chunk in chunks:
            before = [jobs[chunk.after]] if chunk.after is not None else running if crowded else []
            after, job = self._send_array(chunk, after, before)
            jobs.append(job)
            sent.arrays.append(job)
            sent.shards += len(chunk.shards)
        return after

    def _send_array(self, chunk: Chunk, after: int, before: Sequence[str]) -> tuple[int, str]:
        intent = self.template.over(chunk.shards, role=intents.ARRAY)
        parameters = {**intent.parameters, "array_parallelism": chunk.parallelism}
        return self._send(
            intent,
            lambda number: script.array(self.sweep, parameters, intent.token, number, len(chunk.shards)),
            after,
            before,
        )

    def _ensure_steward(self, after: int, sent: Sent) -> bool:
        """Send a steward when arrays are in the queue and no steward is; return whether there are arrays."""
        log = intents.submissions(self.sweep, self.sweep_id)
        tasks = slurm.queue()
        stewards = {one.intent.token for one in log if one.valid and one.intent.role == intents.STEWARD}
        stewards.discard(self.own_token)
        arrays = live_arrays(log, tasks)
        if not arrays or any(task.name in stewards and task.live for task in tasks):
            return bool(arrays)
        intent = self.template.over((), role=intents.STEWARD)
        _, sent.steward = self._send(
            intent,
            lambda number: script.steward(self.sweep, intent.parameters, intent.token, number),
            after,
            arrays,
        )
        return True

    def _send(self, intent: Intent, text: Callable[[int], str], after: int, before: Collection[str]) -> tuple[int, str]:
        """Publish an intent, send its script, and write down the answer; return the answer's number and the job."""
        number = intents.publish(self.sweep, self.sweep_id, intent, text, after=after)
        if not number:
            raise OvertakenError
        options = [f"--dependency=afterany:{':'.join(sorted(before))}"] if before else []
        try:
            job = slurm.sbatch(self.sweep.script(intent.token), *options)
        except slurm.UnclearError as error:
            log.warning("%s Looking for the job.", error.what)
            found = look_up(self.sweep, number, intent, self.silence)
            if found is None:
                intents.answer(self.sweep, self.sweep_id, number, (), NOT_FOUND)
                raise OvertakenError(error.what) from None
            job = found
        except (slurm.FullError, UserError) as error:
            intents.answer(self.sweep, self.sweep_id, number, (), error.what)
            raise
        last = intents.answer(self.sweep, self.sweep_id, number, [job])
        if last != number + 1:
            self._refuse_unwanted(number, job)
        return last, job

    def _refuse_unwanted(self, number: int, job: str) -> None:
        """Somebody wrote into the log while sbatch ran: begin anew, without the job if it was cancelled meanwhile."""
        log = intents.submissions(self.sweep, self.sweep_id)
        mine = next(one for one in log if one.number == number)
        if not mine.valid or job not in mine.jobs:
            slurm.scancel([job])
        raise OvertakenError


def wait(sweep: paths.Sweep, sweep_id: str, seconds: float) -> None:
    """Return when neither a shard nor a steward of the sweep is in the queue; ask once in `seconds`."""
    while True:
        try:
            tokens = {one.intent.token for one in intents.submissions(sweep, sweep_id) if one.valid}
            if not any(task.name in tokens and (task.live or task.ending) for task in slurm.queue()):
                return
        except SchedulerError as error:
            log.warning("%s", error.what)
        time.sleep(seconds)


def settle(sweep: paths.Sweep, sweep_id: str, silence: float) -> None:
    """Write down what became of the intents that have no answer; SchedulerError while it cannot be known."""
    for one in intents.submissions(sweep, sweep_id):
        if one.unclear:
            _refuse_at_work(one)
            job = look_up(sweep, one.number, one.intent, silence)
            intents.answer(sweep, sweep_id, one.number, [job] if job else [], "" if job else NOT_FOUND)


def look_up(sweep: paths.Sweep, number: int, intent: Intent, silence: float) -> str | None:
    """Return the job of an intent: started jobs, the queue and the accounting are asked by its token.

    None only when all of them said so twice, the second time after sbatch would have given up (`silence`, seconds) and
    after a scheduler that hung has served what waited for it; SchedulerError when Slurm does not answer.
    """
    wait = max(silence + 1 - _age(intent), SETTLING_SECONDS)
    for pause in (wait, 0.0):
        jobs = admission.started(sweep, number) | _named(intent.token, silence)
        jobs = jobs or slurm.accounted(intent.token, intent.begun)
        if jobs:
            return min(jobs, key=int)
        time.sleep(pause)
    return None


def _named(token: str, silence: float) -> set[str]:
    """Return the jobs of a name that are in the queue; a scheduler that hangs is asked a few times."""
    deadline = time.monotonic() + SILENCES * silence
    while True:
        try:
            return {task.job for task in slurm.queue() if task.name == token}
        except SchedulerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def live_shards(sweep: paths.Sweep, log: Sequence[Submission], tasks: Sequence[Task]) -> set[int]:
    """Return the shards that have a task in the queue which will do their work."""
    by_token = {one.intent.token: one for one in log if one.intent.role == intents.ARRAY}
    found = set()
    for task in tasks:
        one = by_token.get(task.name)
        if one is None or not (task.live or task.ending) or task.index >= len(one.intent.shards):
            continue
        # A job of an intent that is not wanted does nothing, unless it began before that was written down.
        if one.valid or admission.starter(sweep, one.number, task.index) == task.job:
            found.add(one.intent.shards[task.index])
    return found


def live_arrays(log: Sequence[Submission], tasks: Sequence[Task]) -> list[str]:
    """Return the jobs of the sweep's arrays that are in the queue."""
    return sorted({task.job for task in _of(log, tasks) if task.live or task.ending}, key=int)


def _of(log: Sequence[Submission], tasks: Sequence[Task]) -> list[Task]:
    tokens = {one.intent.token for one in log if one.valid and one.intent.role == intents.ARRAY}
    return [task for task in tasks if task.name in tokens]


def _age(intent: Intent) -> float:
    return max((datetime.now(UTC) - intent.begun).total_seconds(), 0.0)


def _refuse_at_work(one: Submission) -> None:
    by: Mapping[str, object] = one.intent.by
    me = notes()
    if all(by[name] == me[name] for name in ("host", "boot", "pid", "pid_start")):
        return  # this very process, which goes on after Slurm was silent
    lives = alive(dict(by))
    if lives or (lives is None and _age(one.intent) < OUT_OF_SIGHT_SECONDS):
        raise SchedulerError(
            f"Another process is submitting this sweep right now: {by['host']}, process {by['pid']}.",
            next_step="Type the same command again in three minutes.",
        )


def _no_room(sweep: paths.Sweep, reason: str) -> SchedulerError:
    return SchedulerError(
        f"Slurm's limits leave no room for a job of this sweep: {reason}.",
        next_step=f"When there is room, type {command('resume', sweep.root)}",
    )
