"""The faults that can be done to a sweep on the development cluster, one function for each, and who chooses them.

A fault takes a `Scene` and returns in words what it did; it raises `NoVictimError` when there is nothing to strike.
What must be mended later (a node that is down, a process that is stopped) it leaves as a debt, which the scene pays
when it is due. The numbers are those of docs/faults.md.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpc_sweep import records
from tests.faults.victims import NoVictimError, daemon, send, stepds, supervisors, until_gone, workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.drill import Drill

GPU_NODES = ("gpu1", "gpu2", "gpu3", "gpu4")


@dataclass
class Scene:
    """A sweep, chance, and what is owed to the cluster: when, in words, and the call that mends it."""

    drill: Drill
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    debts: list[tuple[float, str, Callable[[], object]]] = field(default_factory=list)

    def owe(self, seconds, words, mend) -> None:
        """Promise to mend something later."""
        self.debts.append((time.monotonic() + seconds, words, mend))

    def owes(self, words) -> bool:
        """Tell whether something of this name waits to be mended."""
        return any(words in owed for _, owed, _ in self.debts)

    def pay(self, *, everything=False) -> list[str]:
        """Mend what is due, and return it in words with what the mending gave."""
        paid: list[str] = []
        while due := [debt for debt in self.debts if everything or debt[0] <= time.monotonic()]:
            debt = min(due, key=lambda debt: debt[0])
            self.debts.remove(debt)
            given = debt[2]()  # which may owe something in its turn
            paid.append(debt[1] if given is None else f"{debt[1]}: {given}")
        return paid

    def pick(self, candidates):
        """Choose one by chance; NoVictimError when there is none."""
        if not candidates:
            raise NoVictimError
        return self.chance.choice(sorted(candidates, key=str))


FAULTS: dict[str, Callable[[Scene], str]] = {}
NUMBERS: dict[str, str] = {}
WEIGHTS: dict[str, int] = {}


def fault(number, weight=1):
    """Enter a function into the nemesis's repertoire, under its number in the fault table, to be drawn so often."""

    def enter(function):
        FAULTS[function.__name__] = function
        WEIGHTS[function.__name__] = weight
        NUMBERS[function.__name__] = number
        return function

    return enter


# Processes and nodes


@fault("F1", weight=3)
def kill_worker(scene, shard=None):
    """Kill -9 the process that trains."""
    pid = scene.pick(workers(scene.drill, shard))
    send(pid)
    return f"killed worker {pid}"


@fault("F2", weight=3)
def kill_supervisor(scene, shard=None):
    """Kill -9 the process that owns a shard's records."""
    note = scene.pick(supervisors(scene.drill, shard))
    send(note["pid"])
    return f"killed supervisor {note['pid']} of shard {note['shard']}"


@fault("F3", weight=3)
def kill_stepd(scene, shard=None):
    """Kill -9 the slurmstepd of a job's script, so that the rest of the job is orphaned and the job requeued."""
    note = scene.pick(supervisors(scene.drill, shard))
    if "SLURM_JOB_ID" not in note["slurm"]:
        raise NoVictimError
    pids = stepds(scene.drill, note)
    for pid in pids:
        send(pid)
    if not pids:
        raise NoVictimError
    return f"killed slurmstepd {pids} of shard {note['shard']}"


@fault("F4", weight=3)
def kill_slurmd(scene, shard=None):
    """Kill -9 a node's slurmd and keep it away until the node is down and its jobs are requeued elsewhere."""
    if scene.owes("slurmd"):
        raise NoVictimError
    nodes = {note["slurm"].get("SLURMD_NODENAME") for note in supervisors(scene.drill, shard)} - {None}
    node = scene.pick(nodes)
    send(daemon(scene.drill, node))
    scene.owe(20, f"slurmd of {node}", lambda: mend(scene))
    return f"killed slurmd of {node}"


@fault("F5")
def kill_controller(scene, seconds=None):
    """Kill -9 slurmctld and start it again from its saved state."""
    if scene.owes("slurmctld"):
        raise NoVictimError
    pid = daemon(scene.drill, "slurmctld")
    send(pid)
    until_gone(pid)
    away = scene.chance.uniform(0.2, 4) if seconds is None else seconds
    scene.owe(away, "slurmctld", lambda: mend(scene))
    return f"killed slurmctld for {away:.1f} s"


@fault("F8", weight=3)
def lose_node(scene, shard=None):
    """Set a node down, which ends its jobs; it comes back later."""
    nodes = {note["slurm"].get("SLURMD_NODENAME") for note in supervisors(scene.drill, shard)} - {None}
    node = scene.pick(nodes)
    slurm(scene, "scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    scene.owe(5, f"node {node}", lambda: mend(scene))
    return f"set {node} down"


@fault("F9", weight=3)
def preempt(scene):
    """Submit a job of higher priority that needs a whole node; preemptible jobs make room at once."""
    options = ("--no-requeue", "-p", "urgent", "--exclusive", "-J", "urgent", "-o", "/dev/null", "--wrap", "sleep 1")
    job = scene.drill.cluster.run("sbatch", "--parsable", *options, check=False)
    if job.returncode:
        raise NoVictimError
    return f"preempted by job {job.stdout.strip()}"


@fault("F10", weight=3)
def requeue(scene):
    """Requeue a running task, as an administrator may."""
    job = scene.pick(tasks(scene, "RUNNING"))
    slurm(scene, "scontrol", "requeue", job)
    return f"requeued {job}"


@fault("F7", weight=3)
def hold(scene):
    """Requeue a task and hold it; later do what `status` says."""
    job = scene.pick(tasks(scene, "RUNNING"))
    slurm(scene, "scontrol", "requeuehold", job)
    scene.owe(3, f"release of {job}", lambda: release(scene, job))
    return f"held {job}"


@fault("F12", weight=3)
def storm(scene, shard=None, signals=200):
    """Send SIGUSR2 and SIGTERM to a supervisor, again and again."""
    note = scene.pick(supervisors(scene.drill, shard))
    for n in range(signals):
        send(note["pid"], (signal.SIGUSR2, signal.SIGTERM)[n % 2])
        time.sleep(0.001)  # the storm's own pace
    return f"sent {signals} signals to supervisor {note['pid']} of shard {note['shard']}"


@fault("F13", weight=3)
def freeze(scene, shard=None, seconds=3.0):
    """Stop a supervisor and its worker as a suspension does, and let them go on later."""
    note = scene.pick(supervisors(scene.drill, shard))
    pids = [note["pid"], *workers(scene.drill, note["shard"])]
    for pid in pids:
        send(pid, signal.SIGSTOP)
    scene.owe(seconds, f"frozen {pids}", lambda: thaw(pids))
    return f"stopped {pids} of shard {note['shard']}"


@fault("F16")
def cancel_task(scene):
    """Scancel one task of an array."""
    job = scene.pick(tasks(scene, "RUNNING", "PENDING"))
    slurm(scene, "scancel", job)
    return f"cancelled task {job}"


@fault("F16")
def cancel_array(scene):
    """Scancel a whole array."""
    job = scene.pick({task.partition("_")[0] for task in tasks(scene, "RUNNING", "PENDING")})
    slurm(scene, "scancel", job)
    return f"cancelled array {job}"


# Submission and collection


@fault("F14")
def kill_submitter(scene):
    """Kill -9 a `resume` somewhere on its way."""
    return _killed(scene, "resume", 4.0)


@fault("F15")
def kill_collector(scene):
    """Kill -9 a `collect` somewhere on its way."""
    return _killed(scene, "collect", 4.0)


def _killed(scene, verb, most):
    process = scene.drill.start_verb(verb)
    try:
        process.wait(scene.chance.uniform(0.5, most))
        return f"{verb} was through before it could be killed"
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"killed {verb} ({process.pid})"


@fault("F40")
def collect_at_once(scene, number=3):
    """Start some collectors at once."""
    return at_once(scene, "collect", number)


@fault("F45")
def submit_at_once(scene):
    """Start two submitters at once."""
    return at_once(scene, "resume", 2)


def at_once(scene, verb, number):
    """Start a verb some times at once; their exit statuses are told later."""
    processes = [scene.drill.start_verb(verb) for _ in range(number)]
    scene.owe(15, f"{number} x {verb}", lambda: [process.wait(240) for process in processes])
    return f"started {verb} {number} times at once"


@fault("F46")
def stop_controller(scene, seconds=7.0):
    """Stop slurmctld while something is being submitted, for longer than sbatch waits."""
    if scene.owes("slurmctld"):
        raise NoVictimError
    pid = daemon(scene.drill, "slurmctld")
    process = scene.drill.start_verb("resume")
    time.sleep(scene.chance.uniform(0.3, 1.5))  # wherever it has come to by then
    send(pid, signal.SIGSTOP)
    scene.owe(seconds, "slurmctld stopped", lambda: send(pid, signal.SIGCONT))
    scene.owe(seconds + 30, "the submitter", lambda: process.wait(240))
    return f"stopped slurmctld during resume ({process.pid})"


@fault("F47")
def lose_controller(scene):
    """Kill slurmctld and ask for a status and a resume while it is away."""
    words = kill_controller(scene, seconds=6)
    for verb in ("status", "resume"):
        process = scene.drill.start_verb(verb)
        scene.owe(30, verb, lambda process=process: process.wait(240))
    return f"{words}, asked for status and resume meanwhile"


# Files


@fault("F31")
def damage_derived(scene):
    """Truncate, flip or empty one derived file; the next collector makes it again."""
    sweep = scene.drill.sweep
    path = scene.pick([path for path in (sweep.trials_csv, sweep.decision_json, sweep.curves_csv) if path.exists()])
    return f"{damage(scene, path)} {path.name}"


@fault("F33", weight=3)
def damage_checkpoint(scene):
    """Truncate, flip or empty the newest checkpoint of a trial."""
    newest = {}
    for path in sorted(scene.drill.root.glob("shards/*/attempt-*/checkpoints/*/epoch-*.ckpt")):
        newest[path.parent] = path
    path = scene.pick(newest.values())
    return f"{damage(scene, path)} {path.relative_to(scene.drill.root)}"


def damage(scene, path: Path) -> str:
    """Do harm to a file in one of four ways, and say which."""
    try:
        content = path.read_bytes()
        how = scene.chance.choice(["truncated", "flipped", "zeroed", "emptied"])
        at = scene.chance.randrange(len(content))
        harmed = {
            "truncated": content[:at],
            "flipped": content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :],
            "zeroed": content[:at] + bytes(len(content) - at),
            "emptied": b"",
        }[how]
        records.replace(path, harmed)  # beside and renamed, as links of it belong to earlier attempts
    except (OSError, ValueError):
        raise NoVictimError from None
    return how


@fault("F36")
def leave_temporaries(scene, number=20):
    """Leave half-written files of dead writers in every log."""
    sweep = scene.drill.sweep
    folder = scene.pick([sweep.plan, sweep.submissions, *(sweep.shard(n) for n in sweep.shards())])
    for _ in range(number):
        name = f"{scene.chance.getrandbits(128):032x}"
        (folder / f".000001.json-{name}").write_bytes(b'{"schema":1,"ki')
    return f"left {number} temporaries in {folder.name}"


@fault("F42", weight=3)
def run_twice(scene):
    """Start a second attempt of a shard that runs, outside of Slurm."""
    note = scene.pick([note for note in supervisors(scene.drill) if note["slurm"]])
    log = [json.loads(path.read_text()) for path in sorted(scene.drill.root.glob("submissions/[0-9]*.json"))]
    numbers = [
        (n, entry["body"]["shards"].index(note["shard"]))
        for n, entry in enumerate(log, start=1)
        if entry["kind"] == "intent" and note["shard"] in entry["body"]["shards"]
    ]
    number, index = numbers[-1]
    words = (sys.executable, "-P", scene.drill.sweep.start, scene.drill.root, number, "--index", index)
    process = scene.drill.start(*words)
    # It may be fenced in its turn; whatever it does, it must not outlive the scene.
    scene.owe(20, f"second attempt {process.pid}", lambda: ended(process))
    return f"started a second attempt of shard {note['shard']} ({process.pid})"


@fault("F17 F19 F27", weight=3)
def misbehave(scene):
    """Order a trial that has no outcome to die, or to meet a full disk or a full GPU, in some epoch."""
    drill = scene.drill
    trial = scene.pick(drill.unfinished())
    word = scene.chance.choice(("die", "full", "cuda_oom", "cuda"))
    epoch = scene.chance.randint(1, 8)
    drill.order(word, *trial, epoch)
    return f"ordered trial {trial} to {word} in epoch {epoch}"


def release(scene, job) -> None:
    """Do what `status` says of a held job."""
    scene.drill.cluster.run("scontrol", "release", job, check=False)


def thaw(pids) -> None:
    """Let stopped processes go on."""
    for pid in pids:
        send(pid, signal.SIGCONT)


def ended(process) -> int:
    """Ask a process to end, and return its exit status."""
    process.terminate()
    return process.wait(120)


def slurm(scene, *argv) -> None:
    """Ask Slurm for something that it may refuse; NoVictimError then."""
    if scene.drill.cluster.run(*argv, check=False).returncode:
        raise NoVictimError(" ".join(argv))


def tasks(scene, *states) -> set[str]:
    """Return the array tasks of the sweep that are in one of some states."""
    listing = scene.drill.cluster.run("squeue", "-h", "-r", "-o", "%i|%T|%j", check=False).stdout
    rows = [line.split("|") for line in listing.splitlines()]
    return {job for job, state, name in rows if state in states and "_" in job and name.startswith("hpc-sweep-")}


def mend(scene) -> None:
    """Bring the cluster up again, as its administrator does; whether all its nodes are back is waited for later."""
    with suppress(NoVictimError):
        send(daemon(scene.drill, "slurmctld"), signal.SIGCONT)
    cluster = scene.drill.cluster
    process = scene.drill.start(cluster.script, "up", "--dir", cluster.folder)
    scene.owe(20, "devcluster up", lambda: until_up(scene, process))


def until_up(scene, process) -> int:
    """Wait for a cluster that comes up; when another fault met it on the way, bring it up again."""
    status = process.wait(180)
    if status:
        mend(scene)
    return status


class Nemesis:
    """Chooses faults by a seed, and writes down what it did when."""

    def __init__(self, scene: Scene, seed: int, log: Path, kinds=None) -> None:
        scene.chance = random.Random(seed)
        self.scene, self.seed, self.log = scene, seed, log
        self.kinds = [kind for kind in sorted(kinds or FAULTS) for _ in range(WEIGHTS[kind])]
        self.done: list[str] = []
        self._begun = time.monotonic()

    def strike(self) -> str | None:
        """Do one fault; return its name, or None when its victim was not there."""
        kind = self.scene.chance.choice(self.kinds)
        try:
            what = FAULTS[kind](self.scene)
        except NoVictimError:
            return None
        self.done.append(kind)
        self.note(NUMBERS[kind], kind, what)
        return kind

    def note(self, number, kind, what) -> None:
        """Write one line into the log."""
        second = round(time.monotonic() - self._begun, 1)
        line = {"second": second, "seed": self.seed, "count": len(self.done), "fault": number, "kind": kind}
        with self.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({**line, "what": what}) + "\n")
            log.flush()
            os.fsync(log.fileno())
