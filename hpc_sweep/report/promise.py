"""The report of a production run: what the sweep promised beside what the long run gave, last and best epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from hpc_sweep import ledger, records
from hpc_sweep.report.drawing import ACCENT, BASE, Picture, data
from hpc_sweep.report.summary import near
from hpc_sweep.report.wording import code, number, table, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hpc_sweep import paths
    from hpc_sweep.objective import Objective

PICTURE = "curve.png"


def write_promise(folder: Path, sweep: paths.Sweep, trial: ledger.Row, result: Mapping[str, Any]) -> None:
    """Write `report.md` and its picture into the folder of a production run."""
    objective = ledger.read_identity(sweep).objective
    decision = records.read_json(sweep.decision_json)
    promised = trial.result["curves"].get(objective.metric, []) if trial.result else []
    curve = result["curves"].get(objective.metric, [])
    records.replace(folder / PICTURE, _picture(objective, promised, curve).png())
    lines = [
        f"# Production run: {result['epochs']} epochs",
        "",
        f"The winner of sweep {code(near(sweep.root))}, run {trial.trial.number}, trained further.",
        "",
        *_table(objective, decision, promised, curve),
        *_findings(promised, curve),
        "",
        f"![{text(objective.metric)} by epoch]({PICTURE})",
        "",
        f"Outcome: {result['outcome']}. {text(result['note'])}".rstrip(),
        f"Device: {text(result['device'])}; {result['threads']} threads; {result['seconds']:.1f} s.",
        f"Configuration: {code('config.yaml')}; weights: the newest file in {code('checkpoints')}.",
    ]
    records.replace(folder / "report.md", "\n".join(lines) + "\n")


def _table(objective: Objective, decision: Mapping[str, Any], promised: list[float], curve: list[float]) -> list[str]:
    winner = _carried(decision)
    noun = f"{objective.metric} ({'higher' if objective.mode == 'max' else 'lower'} is better)"
    rows = [
        [
            "promised by the sweep",
            f"{objective.at} of {len(promised)}",
            number(winner.get("mean")),
            _score_note(decision),
        ],
        *(
            [["promised, less its luck", "", number(winner["shrunk"]), "the shrunk score"]]
            if winner.get("shrunk")
            else []
        ),
        *([_row("this run, last epoch", len(curve), curve[-1])] if curve else []),
        *([_row("this run, best epoch", _best(objective, curve) + 1, curve[_best(objective, curve)])] if curve else []),
    ]
    return table(["", "epoch", noun, ""], [[text(cell) for cell in row] for row in rows])


def _row(name: str, epoch: int, value: float) -> list[str]:
    return [name, str(epoch), number(value), ""]


def _score_note(decision: Mapping[str, Any]) -> str:
    winner = _carried(decision)
    chosen = f", chosen by a person: {decision['choice']['reason']}" if decision.get("choice") else ""
    return f"mean of n = {winner.get('n')}, verdict: {str(decision['verdict']).replace('_', ' ')}{chosen}"


def _carried(decision: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return whose configuration is carried on: a person's choice, else the pick."""
    return decision.get("choice") or decision["winner"] or {}


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
