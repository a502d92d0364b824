"""The job after the arrays: it collects, and submits again what is owed, until everything ended or nothing helps.

It runs as ``python -m hpc_sweep.cluster.steward <sweep> <intent>`` in a small job of its own. Two at once are
harmless, and so is none: whatever it does can be typed as ``hpc-sweep resume``.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_sweep import ledger, paths
from hpc_sweep.cluster import admission, confirming, margin, owed, slurm, states
from hpc_sweep.cluster import intent as intents
from hpc_sweep.cluster.reasons import command
from hpc_sweep.cluster.submission import Submitter, live_arrays
from hpc_sweep.errors import SchedulerError, SweepError
from hpc_sweep.report.collect import collect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpc_sweep.cluster.intent import Intent, Submission

MAX_ROUNDS = 10
ENDING_SECONDS, PAUSE_SECONDS = 60.0, 10.0
SILENT_SECONDS = 1200.0
"""How long a steward goes on asking a scheduler that does not answer."""


def main(arguments: list[str] | None = None) -> int:
    """Do a steward's work for one round; the exit status is 0 when it knows what comes next."""
    parser = argparse.ArgumentParser(prog="python -m hpc_sweep.cluster.steward", description=__doc__)
    parser.add_argument("sweep", type=Path, help="the sweep's folder")
    parser.add_argument("intent", type=int, help="the number of the steward's own entry in <sweep>/submissions")
    given = parser.parse_args(arguments)
    try:
        return _run(paths.Sweep(given.sweep.resolve()), given.intent)
    except SweepError as error:
        _say(str(error))
        return error.exit_status


def _run(sweep: paths.Sweep, number: int) -> int:
    sweep_id = ledger.read_identity(sweep).sweep
    intent = intents.read(sweep, sweep_id, number)
    refusal = admission.refusal(sweep, sweep_id, number, 0)
    if refusal:
        _say(refusal)
        return 0
    _patiently(lambda: _wait_for_endings(sweep, sweep_id))
    collected = _collect(sweep, intent)
    rounds = (intent.parameters.get("steward") or {}).get("max_rounds", MAX_ROUNDS)
    if intent.round >= rounds:
        _say(f"{rounds} rounds are spent. Type {command('resume', sweep.root)} to go on.")
        return 0 if collected else 1
    _patiently(lambda: _submit(sweep, sweep_id, intent))
    return 0 if collected else 1


def _collect(sweep: paths.Sweep, intent: Intent) -> bool:
    """Merge, report, and plan what the decision asks to confirm.

    Whatever goes wrong with it is told, and must not keep what is owed from running.
    """
    try:
        collect(sweep, over=states.over(sweep))
        confirming.extend(sweep, intent.parameters)
    except Exception:  # noqa: BLE001 because the next round matters more than a picture
        traceback.print_exc()
        return False
    return True


def _submit(sweep: paths.Sweep, sweep_id: str, intent: Intent) -> None:
    """Submit what is owed after this round."""
    cancelled = False

    state = ledger.read_ledger(sweep)
    template = margin.measured(owed.noted(intent.over((), round=intent.round + 1), sweep, state), sweep, state)

    def choose(log: Sequence[Submission]) -> list[int]:
        nonlocal cancelled
        cancelled = any(one.intent.token == intent.token and one.cancelled for one in log)
        now = ledger.read_ledger(sweep, known=state)
        return [] if cancelled else owed.after_round(now, log, owed.progress(sweep, now))

    sent = Submitter(sweep, sweep_id, template, own_token=intent.token).submit(choose)
    _say(
        f"Round {template.round}: {sent.shards} shards submitted again as {' '.join(sent.arrays)}."
        if sent.arrays
        else "Nothing is left to submit."
    )


def _wait_for_endings(sweep: paths.Sweep, sweep_id: str) -> None:
    """Wait a little for tasks whose processes are being ended: they may come back, or be over."""
    deadline = time.monotonic() + ENDING_SECONDS
    tasks = slurm.queue()
    log = intents.submissions(sweep, sweep_id)
    arrays = live_arrays(log, tasks)
    while any(task.ending for task in tasks if task.job in arrays) and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
        tasks = slurm.queue()


def _patiently(act: Any) -> None:  # noqa: ANN401 because any call without arguments will do
    """Call until the scheduler answers, for as long as a steward may wait for it."""
    deadline = time.monotonic() + SILENT_SECONDS
    while True:
        try:
            act()
            return
        except SchedulerError as error:
            if time.monotonic() > deadline:
                raise
            _say(str(error))
            time.sleep(PAUSE_SECONDS)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 because this is the job's log


if __name__ == "__main__":
    sys.exit(main())
