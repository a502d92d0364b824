"""The name of every file of a sweep, and nothing else.

::

    <sweep>/
      sweep.json
      plan/000001.jsonl            plan/transport/<sha256>.pkl
      submissions/000001.json      submissions/<token>.sbatch  submissions/started/  submissions/output/
      code/<sha256>/               code/start.py
      shards/0003/000001.json      shards/0003/attempt-0002/{claim.json,results.jsonl,progress.jsonl,log.txt,
                                                            checkpoints/<trial id>/}
      merged/{trials,curves}.csv
      decision/{decision.json,report.html,report.md,leaderboard.csv,plots/,winner/optimized.yaml}
      mode.json                    whether more or less is better, where the sweep had not said it
      choice.json                  a person's other choice than the pick
      production/<digest>/         long runs of a winner
      previous/                    what `hydra.launcher.existing=anew` moved away
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = re.compile(r"^([0-9]{6})\.jsonl?$")
"""What an entry of a numbered log is called; readers ignore every other name."""

IDENTITY = "sweep.json"
"""What the file is called that makes a folder a sweep."""

_SHARD = re.compile(r"^[0-9]{4,}$")
_ATTEMPT = re.compile(r"^attempt-([0-9]{4,})$")


@dataclass(frozen=True)
class Attempt:
    """The folder that one execution of a shard leaves behind."""

    root: Path

    @property
    def number(self) -> int:
        """Count from 1; the highest attempt owns its shard."""
        return int(self.root.name.removeprefix("attempt-"))

    @property
    def claim(self) -> Path:
        """Who runs: host, process and Slurm's ids, as notes."""
        return self.root / "claim.json"

    @property
    def results(self) -> Path:
        """Finished trials, fsynced before they are published."""
        return self.root / "results.jsonl"

    @property
    def progress(self) -> Path:
        """One line for each epoch that a trial reported."""
        return self.root / "progress.jsonl"

    @property
    def log(self) -> Path:
        """What the trials printed, and their tracebacks."""
        return self.root / "log.txt"

    def checkpoints(self, trial: str) -> Path:
        """Return where one trial's checkpoints are kept until it has an outcome."""
        return self.root / "checkpoints" / trial


@dataclass(frozen=True)
class Sweep:
    """The files of one sweep; ``root`` is Hydra's ``hydra.sweep.dir`` and may move."""

    root: Path

    @property
    def identity(self) -> Path:
        """Written once; its exclusive publication is the ownership of the folder."""
        return self.root / IDENTITY

    @property
    def mode(self) -> Path:
        """Whether more or less is better, said later by a sweep that had not said it; written once."""
        return self.root / "mode.json"

    @property
    def plan(self) -> Path:
        """The log of plan parts."""
        return self.root / "plan"

    def transport(self, sha256: str) -> Path:
        """Return the cloudpickle of a plan part whose form cannot be rebuilt from JSON."""
        return self.plan / "transport" / f"{sha256}.pkl"

    @property
    def submissions(self) -> Path:
        """The log of intents and array ids."""
        return self.root / "submissions"

    def script(self, token: str) -> Path:
        """Return the text that sbatch gets for the intent of a token; it is there before the intent is."""
        return self.submissions / f"{token}.sbatch"

    def started(self, intent: int, index: int) -> Path:
        """Return who runs one index of an intent: its exclusive publication turns away every other job."""
        return self.submissions / "started" / f"{intent:06d}_{index}.json"

    def held(self, shard: int) -> Path:
        """Return why a shard refused to start, until a person acts."""
        return self.shard(shard) / "held.json"

    @property
    def queue(self) -> Path:
        """Slurm's last answer about this sweep's jobs, so that many who ask make one call."""
        return self.submissions / "queue.json"

    @property
    def code(self) -> Path:
        """The snapshots that shards run, each in a folder that is named by its digest."""
        return self.root / "code"

    @property
    def start(self) -> Path:
        """What every job of the sweep runs: it finds the snapshot and starts from there."""
        return self.code / "start.py"

    @property
    def job_output(self) -> Path:
        """Where the scheduler writes what its jobs print."""
        return self.submissions / "output"

    def shard(self, number: int) -> Path:
        """Return the log of one shard: the per-shard JSON."""
        return self.root / "shards" / f"{number:04d}"

    def shards(self) -> list[int]:
        """Return the numbers of the shards that have a folder."""
        folder = self.root / "shards"
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(name) for name in names if _SHARD.match(name))

    def attempt(self, shard: int, number: int) -> Attempt:
        """Return the folder of one execution of a shard."""
        return Attempt(self.shard(shard) / f"attempt-{number:04d}")

    def attempts(self, shard: int) -> list[Attempt]:
        """Return the executions of a shard, oldest first."""
        folder = self.shard(shard)
        found = [p for p in folder.iterdir() if _ATTEMPT.match(p.name)] if folder.is_dir() else []
        return sorted((Attempt(p) for p in found), key=lambda attempt: attempt.number)

    @property
    def merged(self) -> Path:
        """Derived tables."""
        return self.root / "merged"

    @property
    def trials_csv(self) -> Path:
        """One row for each planned trial, always."""
        return self.merged / "trials.csv"

    @property
    def curves_csv(self) -> Path:
        """One row for each trial and epoch."""
        return self.merged / "curves.csv"

    @property
    def choice(self) -> Path:
        """A person's other choice than the pick, with its reason: a record, not derived."""
        return self.root / "choice.json"

    @property
    def decision(self) -> Path:
        """Derived judgements and their report."""
        return self.root / "decision"

    @property
    def decision_json(self) -> Path:
        """The winner with its evidence; written last."""
        return self.decision / "decision.json"

    @property
    def report_md(self) -> Path:
        """The report that a person can paste into a wiki."""
        return self.decision / "report.md"

    @property
    def report_html(self) -> Path:
        """The report as one offline page."""
        return self.decision / "report.html"

    @property
    def leaderboard_csv(self) -> Path:
        """One row for each configuration, the pick first."""
        return self.decision / "leaderboard.csv"

    @property
    def plots(self) -> Path:
        """The report's pictures."""
        return self.decision / "plots"

    @property
    def optimized(self) -> Path:
        """The winning configuration as a member of the Hydra config group ``winner``."""
        return self.decision / "winner" / "optimized.yaml"

    def production(self, digest: str) -> Path:
        """Return the folder of the long run of one configuration."""
        return self.root / "production" / digest[:12]

    @property
    def previous(self) -> Path:
        """Where the records of an abandoned sweep are kept."""
        return self.root / "previous"
