"""A small Hydra app that notes each of its runs, and sweeps of it on the development cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.slurm_fixture import wait_for

APP = """
import json, os, signal, sys, time
from pathlib import Path
import hydra
import helper

@hydra.main(version_base="1.3", config_path="conf", config_name="app")
def main(cfg):
    notes = Path(os.environ["NOTES"])
    with (notes / "runs").open("a") as runs:
        runs.write(json.dumps([cfg.x, helper.FACTOR, cfg.fixed, os.environ.get("SLURM_ARRAY_JOB_ID")]) + "\\n")
    if "fail" in cfg.how:
        raise ValueError("as it was told")
    if "always" in cfg.how or "die" in cfg.how and not (notes / f"died-{cfg.x}").exists():
        (notes / f"died-{cfg.x}").touch()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if "wait" in cfg.how:
        while not (notes / "go").exists():
            time.sleep(0.05)
    print("x is", cfg.x)
    return float(cfg.x) * helper.FACTOR

if __name__ == "__main__":
    main()
"""

CONF = """\
x: 0
fixed: 1
how: ''
"""

ON_SLURM = (
    "hydra/launcher=sharded_slurm",
    "hydra.launcher.partition=gpu",
    "hydra.launcher.steward.partition=cpu",
    "hydra.launcher.timeout_min=5",
    "hydra.launcher.trials_per_shard=1",
    "hydra.launcher.objective.mode=max",
)


@dataclass
class App:
    """The app in a folder of its own; ``notes`` is where its runs are noted, ``env`` what its commands see."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def write(cls, folder: Path, env: dict[str, str] | None = None) -> App:
        """Write the app's files."""
        (folder / "conf").mkdir(parents=True)
        (folder / "app.py").write_text(APP)
        (folder / "helper.py").write_text("FACTOR = 2\n")
        (folder / "conf" / "app.yaml").write_text(CONF)
        return cls(folder, {**(env or os.environ), "OMP_NUM_THREADS": "1"})

    def with_notes(self, notes: Path) -> App:
        """Return the same app, whose runs are noted elsewhere."""
        notes.mkdir(exist_ok=True)
        return App(self.folder, {**self.env, "NOTES": str(notes)})

    def sweep(self, root: Path, *overrides: str, **options) -> subprocess.CompletedProcess[str]:
        """Type the app's sweep command."""
        folder = "hydra.sweep.dir='" + str(root).replace("\\", "\\\\").replace("'", "\\'") + "'"
        return self.python("app.py", "-m", folder, *overrides, **options)

    def verb(self, verb: str, root: Path, *more: str, **options) -> subprocess.CompletedProcess[str]:
        """Type ``hpc-sweep <verb> <root>``."""
        return self.python("-m", "hpc_sweep.cli", verb, root, *more, **options)

    def status(self, root: Path, **options) -> dict:
        """Return what ``hpc-sweep status --json`` says."""
        said = self.verb("status", root, "--json", **options)
        assert said.stdout, said.stderr
        return json.loads(said.stdout)

    def python(self, *arguments, check=False, **options) -> subprocess.CompletedProcess[str]:
        """Run Python in the app's folder."""
        env = self.env | options.pop("env", {})
        command = [*options.pop("under", ()), sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=240, **options)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


def planned(app: App, root: Path, *overrides: str) -> Path:
    """Plan a sweep while Slurm is out of reach: nothing is submitted, and the folder may be copied."""
    done = app.sweep(root, *ON_SLURM, *overrides, env=without_controller(app.env, root.parent))
    assert done.returncode == 75, done.stdout + done.stderr
    return root


def without_controller(env: dict[str, str], folder: Path) -> dict[str, str]:
    """Return an environment in which Slurm's commands find no controller, as when it is down."""
    folder.mkdir(parents=True, exist_ok=True)
    text = Path(env["SLURM_CONF"]).read_text()
    (folder / "slurm.conf").write_text(re.sub(r"(?m)^SlurmctldPort=.*$", "SlurmctldPort=1", text))
    return {"SLURM_CONF": str(folder / "slurm.conf")}


def copied(root: Path, to: Path) -> Path:
    """Return a copy of a sweep's folder."""
    return Path(shutil.copytree(root, to, symlinks=True))


def runs(notes: Path) -> Counter:
    """Return how often each x was run."""
    file = notes / "runs"
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(json.loads(line)[0] for line in lines)


def entries(root: Path) -> list[dict]:
    """Return the submission log."""
    files = sorted((root / "submissions").glob("[0-9]*.json"))
    return [json.loads(file.read_text()) for file in files]


def arrays(root: Path) -> list[str]:
    """Return the array jobs that the log names."""
    log = entries(root)
    roles = {n: entry["body"].get("role") for n, entry in enumerate(log, start=1)}
    told = [entry["body"] for entry in log if entry["kind"] == "submitted"]
    return [job for body in told if roles[body["intent"]] == "array" for job in body["jobs"]]


def until_over(cluster, seconds=240.0) -> None:
    """Wait until no job is in the queue."""
    wait_for(lambda: not cluster.run("squeue", "--noheader").stdout.strip(), "every job is over", seconds)


def put_on_path(folder: Path, name: str, text: str) -> dict[str, str]:
    """Write a program that comes before the real one of its name, and return the environment that finds it."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
