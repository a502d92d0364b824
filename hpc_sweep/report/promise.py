"""The report of a production run: what the sweep promised beside what the long run gave, last and best epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from hpc_sweep import ledger, records
from hpc_sweep.objective import Objective
from hpc_sweep.report.drawing import ACCENT, BASE, Picture, data
from hpc_sweep.report.terminal import near
from hpc_sweep.report.wording import code, number, table, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpc_sweep import paths

PICTURE = "curve.png"


PROMISE = "promise.json"
"""What the sweep said of the trial when its production run began; a later decision changes nothing of it."""


def keep_promise(folder: Path, sweep: paths.Sweep, trial: ledger.Row) -> Mapping[str, Any]:
    """Write down, once, what the sweep says of a trial now, and return what was written down first."""
    objective = ledger.read_identity(sweep).objective
    decision, number_ = records.read_json(sweep.decision_json), trial.trial.number
    entry: dict[str, Any] = next((one for one in decision["leaderboard"] if number_ in one["trials"]), {})
    choice, winner = decision.get("choice") or {}, decision["winner"] or {}
    promise = {
        "schema": records.SCHEMA,
        "run": number_,
        "trial": trial.trial.id,
        "objective": objective.as_json(),
        **{name: entry.get(name) for name in ("mean", "shrunk", "n", "rank")},
        "confirmed": winner.get("confirmed") if number_ in winner.get("trials", ()) else None,
        "verdict": decision["verdict"],
        "reason": choice["reason"] if choice.get("trial") == number_ else "",
        "curve": trial.result["curves"].get(objective.metric, []) if trial.result else [],
    }
    records.publish(folder / PROMISE, records.canonical(promise) + "\n")
    kept: Mapping[str, Any] = records.read_json(folder / PROMISE)
    return kept


def write_promise(folder: Path, sweep: paths.Sweep, trial: ledger.Row, result: Mapping[str, Any]) -> None:
    """Write `report.md` and its picture into the folder of a production run."""
    promise = keep_promise(folder, sweep, trial)
    objective = Objective.parse(promise["objective"])
    curve = result["curves"].get(objective.metric, [])
    records.replace(folder / PICTURE, _picture(objective, promise["curve"], curve).png())
    who = "The choice of a person in" if promise["reason"] else "The winner of"
    lines = [
        f"# Production run: {result['epochs']} epochs",
        "",
        f"{who} sweep {code(near(sweep.root))}, run {promise['run']}, trained further.",
        "",
        *_table(objective, promise, curve),
        *_findings(promise["curve"], curve),
        "",
        f"![{text(objective.metric)} by epoch]({PICTURE})",
        "",
        f"Outcome: {result['outcome']}. {text(result['note'])}".rstrip(),
        f"Device: {text(result['device'])}; {result['threads']} threads; {result['seconds']:.1f} s.",
        f"Configuration: {code('config.yaml')}; weights: the newest file in {code('checkpoints')}.",
        f"What the sweep promised when the run began: {code(PROMISE)}.",
    ]
    records.replace(folder / "report.md", "\n".join(lines) + "\n")


def _table(objective: Objective, promise: Mapping[str, Any], curve: list[float]) -> list[str]:
    noun = f"{objective.metric} ({'higher' if objective.mode == 'max' else 'lower'} is better)"
    when = f"{objective.at} of {len(promise['curve'])}"
    rows = [["promised by the sweep", when, number(promise["mean"]), _score_note(promise)]]
    for name, told, note in (
        ("shrunk", "promised, less its luck", "the shrunk score"),
        ("confirmed", "promised, on fresh replicates", "the confirmed score"),
    ):
        rows += [[told, "", number(promise[name]), note]] if promise[name] is not None else []
    if curve:
        best = _best(objective, curve)
        rows += [_row("this run, last epoch", len(curve), curve[-1])]
        rows += [_row("this run, best epoch", best + 1, curve[best])]
    return table(["", "epoch", noun, ""], [[text(cell) for cell in row] for row in rows])


def _row(name: str, epoch: int, value: float) -> list[str]:
    return [name, str(epoch), number(value), ""]


def _score_note(promise: Mapping[str, Any]) -> str:
    rank = "" if promise["rank"] in {1, None} else f", rank {promise['rank']}"
    chosen = f", chosen by a person: {promise['reason']}" if promise["reason"] else ""
    return f"mean of n = {promise['n']}{rank}, verdict: {str(promise['verdict']).replace('_', ' ')}{chosen}"


def _findings(promised: list[float], curve: list[float]) -> list[str]:
    """Say in words how the long run compares; a best epoch is chosen after the fact, and that is said."""
    if not curve:
        return ["The run has no epoch with a finite value of the metric."]
    lines = [
        "The best epoch is chosen by looking at the validation set and is optimistic; the last epoch is not chosen.",
    ]
    shared = min(len(promised), len(curve))
    if shared and promised[:shared] == curve[:shared]:
        lines.append(f"Over the first {shared} epochs this run repeats the sweep's trial exactly.")
    elif shared:
        lines.append(
            f"At epoch {shared} the sweep's trial had {number(promised[shared - 1])} and this run "
            f"{number(curve[shared - 1])}: device, threads, schedule or data order differ."
        )
    return lines


def _best(objective: Objective, curve: list[float]) -> int:
    return max(range(len(curve)), key=lambda epoch: (objective.score(curve[epoch]), -epoch))


def _picture(objective: Objective, promised: list[float], curve: list[float]) -> Picture:
    rows = [
        {"x": epoch, "y": value, "series": series}
        for series, values in (("this run", curve), ("the sweep's trial", promised))
        for epoch, value in enumerate(values, start=1)
    ]
    colors = alt.Scale(domain=["this run", "the sweep's trial"], range=[BASE, ACCENT])
    chart = (
        alt.Chart(data(rows))
        .mark_line(strokeWidth=2.2)
        .encode(
            x=alt.X("x:Q", axis=alt.Axis(title="epoch", tickMinStep=1, format="d"), scale=alt.Scale(nice=False)),
            y=alt.Y("y:Q", axis=alt.Axis(title=objective.metric), scale=alt.Scale(zero=False)),
            color=alt.Color("series:N", scale=colors),
        )
        .properties(width=640, height=300)
    )
    return Picture(PICTURE, f"Production run: {objective.metric}", "One value after each epoch.", chart)
