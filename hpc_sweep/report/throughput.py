"""What the newest attempt of a shard got done and in what time, while it runs and when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hpc_sweep import records

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hpc_sweep import paths
    from hpc_sweep.ledger import Ledger, ShardState

NAMED = 20
"""Of how many running shards the throughput is told one by one."""
_WHOLE = 10


@dataclass(frozen=True)
class Throughput:
    """Trials with an outcome and their epochs; ``seconds`` in all, and those of them that went into training."""

    attempt: int
    trials: int
    epochs: int
    seconds: float
    training_seconds: float

    @property
    def trials_per_hour(self) -> float | None:
        """None as long as no time has passed."""
        return 3600 * self.trials / self.seconds if self.seconds > 0 else None

    @property
    def epochs_per_second(self) -> float | None:
        """While it trains: starting and waiting are left out. None where no epoch was told, as by many foreign apps."""
        return self.epochs / self.training_seconds if self.epochs and self.training_seconds > 0 else None

    @property
    def training_share(self) -> float | None:
        """Of its time, what it spent training and neither starting nor between trials; from 0 to 1."""
        return min(self.training_seconds / self.seconds, 1.0) if self.seconds > 0 else None

    def as_json(self) -> dict[str, Any]:
        """Return the counters and their ratios, to three decimals."""
        ratios = {name: getattr(self, name) for name in ("trials_per_hour", "epochs_per_second", "training_share")}
        fields = {**vars(self), **ratios}
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in fields.items()}


def throughputs(sweep: paths.Sweep, ledger: Ledger, running: Collection[int]) -> dict[int, Throughput]:
    """Return what is known of the newest attempt of each shard; nothing of one that was killed, which counted nothing.

    `running` are the shards whose jobs run.
    """
    found = {number: _throughput(sweep, number, state, number in running) for number, state in ledger.shards.items()}
    return {number: one for number, one in found.items() if one is not None}


def throughput_lines(found: Mapping[int, Throughput], running: Collection[int]) -> list[str]:
    """Return a sentence for each running shard in which a trial has ended."""
    told = sorted(shard for shard in running if shard in found and found[shard].trials)
    more = len(told) - NAMED
    lines = [_line(shard, found[shard]) for shard in told[:NAMED]]
    return [*lines, f"… and {more} more shards run."] if more > 0 else lines


def _throughput(sweep: paths.Sweep, number: int, state: ShardState, runs: bool) -> Throughput | None:
    if state.ended:
        return _recorded(number, state)
    return _measured(sweep.attempt(number, state.attempt)) if runs and state.attempt else None


def _recorded(number: int, state: ShardState) -> Throughput | None:
    """Return what an attempt wrote down at its end; None for one that wrote nothing of this kind."""
    told = state.throughput.get(state.attempt)
    if not told:
        return None
    own = [one for one in state.results.values() if one.get("attempt") == f"{number:04d}/{state.attempt}"]
    seconds = told["starting_seconds"] + told["training_seconds"]
    return Throughput(state.attempt, len(own), told["epochs"], seconds, told["training_seconds"])


def _measured(attempt: paths.Attempt) -> Throughput | None:
    """Return what a running attempt has finished so far, in the time from its claim to the end of its last trial.

    Both times are those of the files, so that no two clocks are compared, and a trial in progress changes nothing.
    """
    try:
        lines = records.read_lines(attempt.results, problems=[])
        seconds = attempt.results.stat().st_mtime - attempt.claim.stat().st_mtime
    except OSError:  # it has only just begun
        return None
    ended = [line for line in lines if line["outcome"] is not None]
    return Throughput(attempt.number, len(ended), _sum(ended, "epochs"), max(seconds, 0.0), _sum(lines, "seconds"))


def _sum(lines: Sequence[Mapping[str, Any]], name: str) -> Any:  # noqa: ANN401 whole epochs, or seconds
    return sum(line.get(name) or 0 for line in lines)


def _line(shard: int, found: Throughput) -> str:
    trials = "1 trial" if found.trials == 1 else f"{found.trials} trials"
    line = f"Shard {shard}: {trials} in {timedelta(seconds=round(found.seconds))}"
    if found.trials_per_hour is None or found.training_share is None:
        return f"{line}."
    share = f"{100 * found.training_share:.0f} % of the time training"
    return f"{line}, {_rate(found.trials_per_hour)} trials per hour, {share}."


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE else f"{value:.1f}"
