"""Isolated trials, and workers that are forked with what they need: real processes, a module that notes who imports."""

import importlib
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpc_sweep import ledger, records
from hpc_sweep.report.status import unfit_lines
from hpc_sweep.runtime.alone import one_by_one
from hpc_sweep.runtime.supervisor import STOPPED, UNFIT, supervise
from hpc_sweep.trial import Outcome, Result

NAME = "what_workers_need"


@dataclass
class Place:
    """A sweep whose trials need a module, which notes each process that imports it."""

    house: object
    module: Path
    accidents: dict = field(default_factory=dict)

    def train(self, trial, context):
        """Import the module, tell who trains, and train one epoch; a trial may have an accident before it or after."""
        importlib.import_module(NAME)
        self.house.note(f"{trial.id} {os.getpid()}")
        if accident := self.accidents.get((trial.number, "before")):
            accident()
        context.report(1, {"val/score": float(trial.number)})
        if accident := self.accidents.get((trial.number, "after")):
            accident()
        return Result(Outcome.COMPLETED, {"val/score": float(trial.number) / 3}, epochs=1)

    def attempt(self, warm=None, **more):
        """Run an attempt in a process of its own; return its process number and exit status."""
        warm = warm or (lambda: importlib.import_module(NAME))
        supervisor = os.fork()
        if not supervisor:
            sys.path.insert(0, str(self.module.parent))
            os._exit(supervise(self.house.shard(**more), lambda: one_by_one(self.train), warm))
        return supervisor, os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1])

    def noted(self, what):
        """Return the processes that noted something, in order."""
        return [int(line.split()[1]) for line in self.house.noted() if line.split()[0] == what]

    def workers(self):
        """Return the process of each try of a trial, in order."""
        return [int(line.split()[1]) for line in self.house.noted() if line.startswith("id")]

    def notes(self, event):
        """Return what the supervisor noted of one kind."""
        lines = records.read_lines(self.house.sweep.attempt(1, 1).progress, sealed=False)
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def place(house, tmp_path):
    """Return a sweep of six trials with a module of its own."""
    folder = tmp_path / "modules"
    folder.mkdir()
    module = folder / f"{NAME}.py"
    module.write_text(
        f"import os\nwith open({str(house.notes)!r}, 'a') as file: file.write(f'import {{os.getpid()}}\\n')\n"
    )
    return Place(house, module)


def killed():
    """Die without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_isolated_trials_have_a_process_each_and_the_same_results(place, house):
    """Six trials, six processes; the metrics are those of one worker that trains them all."""
    place.attempt(isolate=True)
    apart, workers = [row.result["metrics"] for row in house.ledger().rows], place.workers()

    assert len(set(workers)) == 6
    assert apart == [{"val/score": number / 3} for number in range(1, 7)]


def test_trials_that_are_not_isolated_share_a_worker_and_the_supervisor_imports_nothing(place):
    """One process imports, the one that trains all of them."""
    supervisor, status = place.attempt()

    assert status == 0
    assert len(set(place.workers())) == 1
    assert place.noted("import") == place.workers()[:1]
    assert supervisor not in place.workers()


def test_a_worker_after_a_death_imports_nothing(place):
    """The supervisor has imported by then, once for all of its workers."""
    place.accidents = {(3, "after"): killed, (5, "after"): killed}
    supervisor, status = place.attempt(retries=0)

    assert status == 1
    assert len(set(place.workers())) == 3
    assert place.noted("import") == [place.workers()[0], supervisor]


def test_isolated_trials_are_forked_warm(place, house):
    """The first worker imports, then the supervisor, which is told to once, and nobody after them."""

    def warm():
        house.note(f"told {os.getpid()}")
        importlib.import_module(NAME)

    supervisor, status = place.attempt(warm, isolate=True)

    assert status == 0
    assert place.noted("told") == [supervisor]
    assert place.noted("import") == [place.workers()[0], supervisor]


def test_the_last_worker_of_a_shard_makes_nobody_import(place):
    """A trial that dies for good at the very end leaves nothing to fork for."""
    place.accidents = {(6, "after"): killed}
    supervisor, status = place.attempt(retries=0)

    assert status == 1
    assert supervisor not in place.noted("import")


def test_what_no_worker_has_come_through_is_not_imported_by_the_supervisor(place):
    """Workers that die before they have trained an epoch each import by themselves; then one gets on."""
    place.accidents = {(1, "before"): killed, (2, "before"): killed, (3, "after"): killed}
    supervisor, status = place.attempt(retries=0)
    first, second, third, *_ = place.workers()

    assert status == 1
    assert len({first, second, third}) == 3
    assert place.noted("import") == [first, second, third, supervisor]


def test_an_isolated_trial_that_fails_is_tried_again_last_and_in_a_process_of_its_own(place, house):
    """Siblings come first, and neither waits for it nor shares a process with it."""
    first = house.notes.with_name("first")

    def once():
        if not first.exists():
            first.touch()
            killed()

    place.accidents = {(2, "after"): once}
    _, status = place.attempt(isolate=True)

    assert status == 0
    assert len(set(place.workers())) == 7
    assert [line.split()[0] for line in house.noted() if line.startswith("id")] == [
        *("id1", "id2", "id3", "id4", "id5", "id6"),
        "id2",
    ]


def test_an_import_that_fails_in_the_supervisor_ends_the_attempt_and_charges_nobody(place, house, capfd):
    """Files are gone that were there a moment ago: a note says so, no traceback does, and another attempt goes on."""
    text = place.module.read_text()
    place.accidents = {(2, "after"): lambda: [place.module.unlink(), killed()]}
    supervisor, status = place.attempt(warm=lambda: import_without_cache(place.module))

    assert status == UNFIT
    assert len(set(place.workers())) == 1
    assert supervisor not in place.noted("import")
    (note,) = place.notes("unfit")
    assert note["text"].startswith("ModuleNotFoundError: No module named")
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert note["text"] in said
    assert f"hpc-sweep resume {house.sweep.root}" in said
    place.module.write_text(text)
    place.accidents = {}
    assert place.attempt()[1] == 0
    assert house.ledger().counts["completed"] == 6


def test_after_an_import_that_failed_the_next_attempts_import_in_their_workers(place, house):
    """An import that only fails in a supervisor fails once: the next attempt gets through all deaths without it."""

    def warm():
        house.note(f"told {os.getpid()}")
        raise ImportError("not in this process")

    place.accidents = {(2, "after"): killed, (4, "after"): killed, (5, "after"): killed}
    (first, status), (_, again) = place.attempt(warm, retries=0), place.attempt(warm, retries=0)

    assert (status, again) == (UNFIT, 1)
    assert place.noted("told") == [first]
    assert house.ledger().counts["completed"] == 3
    assert house.ledger().counts["failed"] == 3


def test_status_tells_of_a_shard_whose_import_failed(place, house):
    """As long as its trials are lost; a person need not look for the job's log."""
    place.accidents = {(2, "after"): killed}
    place.attempt(warm=lambda: importlib.import_module("what_is_not_there"))
    left = unfit_lines(house.sweep, ledger.read_ledger(house.sweep, over={1}))
    place.accidents = {}
    place.attempt()

    assert left == ["Shard 1 ended early, for an import failed there: " + place.notes("unfit")[0]["text"]]
    assert unfit_lines(house.sweep, ledger.read_ledger(house.sweep, over={1})) == []


def test_the_import_of_a_supervisor_counts_as_starting(place, house):
    """From its end on, all seconds of the attempt's workers are told as starting or as training."""

    def warm():
        begun = time.monotonic()
        while time.monotonic() < begun + 1:
            os.sched_yield()

    place.accidents = {(3, "after"): killed}
    place.attempt(warm, retries=0)

    told = house.ledger().shards[1].throughput[1]
    assert told["workers"] == 2
    assert told["starting_seconds"] >= 1


def import_without_cache(module):
    """Import a module as a process does that has not looked into its folder yet."""
    importlib.invalidate_caches()
    assert NAME not in sys.modules, module
    importlib.import_module(NAME)


def test_a_signal_that_comes_while_the_supervisor_imports_starts_no_other_worker(place, house):
    """What is finished is published, and the exit status is that of being stopped."""
    place.accidents = {(3, "after"): killed}
    _, status = place.attempt(warm=lambda: os.kill(os.getpid(), signal.SIGTERM))

    assert status == STOPPED
    assert len(set(place.workers())) == 1
    assert house.ledger().counts["completed"] == 2
    place.accidents = {}
    assert place.attempt()[1] == 0


@pytest.mark.parametrize("threads", [1, 3])
def test_a_supervisor_that_has_imported_forks_with_one_thread(run_python, threads):
    """It has torch and no GPU in use, and the worker that it forks imports next to nothing to train a trial."""
    done = run_python("-c", FORKED.format(threads=threads))

    assert done.returncode == 0, done.stderr
    imported, supervisor = done.stdout.splitlines()
    assert int(imported) < 10
    assert supervisor == "1 thread, CUDA unused"


FORKED = """
import os, sys
os.environ.update(__import__("hpc_sweep.training.environment", fromlist="worker").worker({threads}))
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from hpc_sweep import tasks
from hpc_sweep.trial import Quiet
CONF = os.path.join(os.path.dirname(os.path.dirname(tasks.__path__[0])), "conf")
with initialize_config_dir(CONF, version_base="1.3"):
    cfg = compose("train", overrides=["experiment=task11", "device=cpu", "epochs=1"])
cfg = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
assert "torch" not in sys.modules
asked = []
def watch(frame, event, argument):
    code = frame.f_code
    if event == "call" and "/torch/cuda/" in code.co_filename and code.co_name in {{
        "is_available", "device_count", "_lazy_init", "init", "current_device", "get_device_properties"
    }}:
        asked.append(code.co_name)
sys.setprofile(watch)
tasks.warm("instruments")
sys.setprofile(None)
import torch
assert not asked, asked  # whoever asks for a GPU before a fork takes it from the child
assert not torch.cuda.is_initialized()
before = set(sys.modules)
child = os.fork()
if not child:
    tasks.train(cfg, Quiet())
    print(len(set(sys.modules) - before), flush=True)
    os._exit(0)
threads = [line.split()[1] for line in open("/proc/self/status") if line.startswith("Threads")]
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(*threads, "thread, CUDA", "used" if torch.cuda.is_initialized() else "unused")
"""
