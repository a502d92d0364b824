"""The report as Markdown: a person can read it where it lies, or paste it into a wiki."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpc_sweep.analysis.alarms import runs
from hpc_sweep.analysis.table import error_text, level_means, level_text
from hpc_sweep.report import charts
from hpc_sweep.report.drawing import epoch_rule
from hpc_sweep.report.wording import code, number, production_command, table, text
from hpc_sweep.trial import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpc_sweep.analysis.decision import Decision, Entry
    from hpc_sweep.analysis.table import Evidence, Observation
    from hpc_sweep.report.drawing import Picture
    from hpc_sweep.trial import Trial

_ROWS = 20
_LEVELS = 12
_FAILURES = 50
_ERROR = 300

VERDICTS = {
    "leading": "**leading, not resolved**: it scored best; others may be as good or better.",
    "cannot_tell": "**cannot tell**: it scored best, but how much of that is chance is not known.",
}


@dataclass(frozen=True)
class Report:
    """Everything that one report is written from."""

    evidence: Evidence
    decision: Decision
    pictures: Sequence[Picture]
    configuration: Mapping[str, Any] | None
    folder: Path

    def markdown(self) -> str:
        """Return the whole document; equal inputs give equal text."""
        sections = (
            self._head,
            self._winner,
            self._optimized,
            self._leaderboard,
            self._hyperparameters,
            self._curves,
            self._confusion,
            self._alarms,
            self._failures,
            self._coverage,
            self._cost,
            self._provenance,
        )
        return "\n".join(line for section in sections for line in section()).rstrip("\n") + "\n"

    def _head(self) -> list[str]:
        coverage, metric = self.decision.coverage, text(self.evidence.objective.metric)
        ended = coverage["planned"] - coverage["missing"]
        partial = f"PARTIAL {ended}/{coverage['planned']}: " if coverage["missing"] else ""
        counts = ", ".join(f"{count} {name}" for name, count in coverage.items() if count and name != "planned")
        identity = self.evidence.ledger.identity
        line = f"{coverage['planned']} trials planned: {counts or 'none'}. Sweep {code(identity.sweep)}"
        return [f"# {partial}Sweep report: {metric}", "", f"{line}, planned {text(identity.created)}.", ""]

    def _winner(self) -> list[str]:
        winner, objective = self.decision.winner, self.evidence.objective
        if winner is None:
            return ["## No winner", "", f"> {text(self.decision.rule)}", ""]
        score = f"**{text(objective.metric)} = {number(winner.mean)}** {epoch_rule(self.evidence)}, n = {winner.n}"
        spread = f"sd {number(winner.sd)}" if winner.sd is not None else "no sd"
        interval = f"95 % interval {_interval(winner.interval)}" if winner.interval else "no interval"
        return [
            "## The pick",
            "",
            f"> **{runs(winner.trials)}**: {_configuration(winner.configuration)}",
            ">",
            f"> {score}, {spread}, {interval}",
            ">",
            f"> Verdict: {VERDICTS[self.decision.verdict]}",
            "",
            "How far to trust it:",
            "",
            *(f"- {line}" for line in self._honesty()),
            "",
        ]

    def _honesty(self) -> list[str]:
        winner, board = self.decision.winner, self.decision.leaderboard
        assert winner is not None
        ranked = sum(entry.rank is not None for entry in board)
        rivals = len(self.decision.tie_set) - 1
        lines = [
            text(self.decision.rule),
            f"{rivals} of the {ranked - 1} other configurations are tied with it."
            if ranked > 1
            else "It has no rival.",
            f"Its score is the best of {ranked}, and so too good by an amount that is not known.",
            "Nothing was shrunk, and no fresh replicates were run to confirm it.",
        ]
        if winner.interval:
            lines.append("The interval holds for these replicates and this evaluation set, without that correction.")
        if self.decision.alarms:
            lines.append(f"{len(self.decision.alarms)} alarms are listed below.")
        return lines

    def _optimized(self) -> list[str]:
        if self.decision.winner is None or self.configuration is None:
            return []
        values = self.decision.winner.configuration.items()
        return [
            "## Optimized configuration",
            "",
            *table(["hyperparameter", "value"], [[code(name), code(level_text(value))] for name, value in values]),
            f"The whole configuration is [winner/optimized.yaml](winner/optimized.yaml). {self._production()}",
            "",
        ]

    def _production(self) -> str:
        if isinstance((self.configuration or {}).get("task"), str):
            return f"The long run of it:\n\n```sh\n{production_command(self.folder)}\n```"
        return "In your app it is `--config-dir <this folder> +winner=optimized`."

    def _leaderboard(self) -> list[str]:
        ranked = [entry for entry in self.decision.leaderboard if entry.rank is not None]
        rest = [entry for entry in self.decision.leaderboard if entry.rank is None]
        names = list(self.evidence.space.levels)
        header = ["rank", "runs", *map(code, names), "mean", "sd", "n", "95 % interval", "behind by", ""]
        rows = [self._row(entry, names) for entry in ranked[:_ROWS]]
        lines = ["## Leaderboard", "", *self._picture(charts.LEADERBOARD), *(table(header, rows) if rows else [])]
        if len(ranked) > _ROWS:
            lines += [f"{len(ranked) - _ROWS} more are in [trials.csv](../merged/trials.csv) and decision.json.", ""]
        if rest:
            lines += [
                f"{'Not ranked' if ranked else 'Nothing is ranked'}: {len(rest)} configurations without a rank.",
                "",
            ]
            lines += [f"- {_configuration(entry.configuration)}: {_unranked(entry)}" for entry in rest[:_ROWS]] + [""]
        return lines

    def _row(self, entry: Entry, names: Sequence[str]) -> list[str]:
        state = "the pick" if entry.rank == 1 else "tied" if entry.tied else ""
        levels = [code(level_text(entry.configuration[name])) if name in entry.configuration else "" for name in names]
        numbers = [number(entry.mean), number(entry.sd), str(entry.n), _interval(entry.interval)]
        runs_ = ", ".join(map(str, entry.trials[:_LEVELS])) + ("…" if len(entry.trials) > _LEVELS else "")
        cells = [str(entry.rank), runs_, *levels, *numbers, number(entry.difference), state]
        return [f"**{cell}**" if entry.rank == 1 and cell else cell for cell in cells]

    def _hyperparameters(self) -> list[str]:
        swept = {name: levels for name, levels in self.evidence.space.levels.items() if len(levels) > 1}
        if not swept or not self.evidence.scored:
            return []
        lines = ["## Hyperparameters", "", *self._picture(charts.BY_HYPERPARAMETER)]
        lines += ["Means over the grid that ran; no test. Each configuration counts once.", ""]
        shown = [name for name, levels in swept.items() if len(levels) <= _LEVELS]
        rows = [
            [code(name), code(level_text(one.level)), number(one.mean), number(one.low), number(one.high), str(one.n)]
            for name in shown
            for one in level_means(self.evidence, name)
        ]
        lines += table(["hyperparameter", "level", "mean", "lowest", "highest", "configurations"], rows) if rows else []
        if len(shown) < len(swept):
            many = ", ".join(code(name) for name in swept if name not in shown)
            lines += [f"Without a table, because of more than {_LEVELS} levels: {many}.", ""]
        return lines

    def _curves(self) -> list[str]:
        metric = self.evidence.objective.metric
        picked = self.decision.winner.trials if self.decision.winner else []
        curves = [one for one in self.evidence.scored if one.trial.number in picked and one.curve(metric)]
        picture = self._picture(charts.LEARNING_CURVES)
        if not curves and not picture:
            return []
        header = ["run", "epochs", "last", "best", "at epoch", "train, last"]
        rows = [self._curve_row(one) for one in curves]
        lines = ["## Learning curves", "", *picture]
        return lines + ([f"{text(metric)} of the pick:", "", *table(header, rows)] if rows else [])

    def _curve_row(self, one: Observation) -> list[str]:
        metric = self.evidence.objective.metric
        curve, train = one.curve(metric), one.curve(f"train/{metric.partition('/')[2]}")
        best = replace(self.evidence.objective, at="best").epoch(curve)
        values = [number(curve[-1]), number(curve[best]), str(best + 1), number(train[-1] if train else None)]
        return [str(one.trial.number), str(len(curve)), *values]

    def _confusion(self) -> list[str]:
        picture = self._picture(charts.CONFUSION)
        return ["## Confusion matrix", "", *picture] if picture else []

    def _alarms(self) -> list[str]:
        found = [f"- **{alarm.kind.replace('_', ' ')}**: {text(alarm.text)}" for alarm in self.decision.alarms]
        return ["## Alarms", "", *(found or ["None."]), ""]

    def _failures(self) -> list[str]:
        ended = [row for row in self.evidence.ledger.rows if row.status in {Status.FAILED, Status.DIVERGED}]
        if not ended:
            return []
        rows = [
            [str(row.trial.number), row.status.value, self._params(row.trial), text(error_text(row), _ERROR)]
            for row in ended[:_FAILURES]
        ]
        more = [f"{len(ended) - _FAILURES} more are in [trials.csv](../merged/trials.csv).", ""]
        lines = ["## Failures", "", *table(["run", "status", "configuration", "reason"], rows)]
        return lines + (more if len(ended) > _FAILURES else [])

    def _params(self, trial: Trial) -> str:
        return _configuration({name: trial.params[name] for name in self.evidence.space.levels if name in trial.params})

    def _coverage(self) -> list[str]:
        counts = self.evidence.ledger.counts
        rows = [[status, str(count)] for status, count in counts.items() if count]
        return ["## Coverage", "", *table(["status", "trials"], [*rows, ["planned in all", str(sum(counts.values()))]])]

    def _cost(self) -> list[str]:
        records = [row.result or row.failure or {} for row in self.evidence.ledger.rows]
        seconds = sorted(
            float(record["seconds"]) for record in records if isinstance(record.get("seconds"), (int, float))
        )
        if not seconds:
            return []
        total, middle = math.fsum(seconds), seconds[len(seconds) // 2]
        spent = f"{total:.1f} trial seconds ({total / 3600:.2f} hours) over {len(seconds)} trials"
        return ["## Cost", "", f"{spent}; one took {seconds[0]:.1f} to {seconds[-1]:.1f} s, median {middle:.1f} s.", ""]

    def _provenance(self) -> list[str]:
        identity = self.evidence.ledger.identity
        results = [one.result for one in self.evidence.observations if one.result]
        facts = {
            "objective": ", ".join(f"{name} {value}" for name, value in self.decision.objective.items()),
            "code": ", ".join(f"{name} {level_text(value)}" for name, value in identity.code.items()),
            "data": identity.data,
            "versions": ", ".join(f"{name} {value}" for name, value in identity.versions.items()),
            "devices": _tally(result.get("device") for result in results),
            "threads": _tally(result.get("threads") for result in results),
            "log entries read": ", ".join(f"{log} {last}" for log, last in self.decision.inputs.items()),
        }
        rows = [[name, text(value, 2000)] for name, value in facts.items() if value]
        links = "[trials.csv](../merged/trials.csv), [curves.csv](../merged/curves.csv), [decision.json](decision.json)"
        return ["## Provenance", "", *table(["what", "value"], rows), f"The numbers: {links}.", ""]

    def _picture(self, name: str) -> list[str]:
        found = next((picture for picture in self.pictures if picture.name == name), None)
        return [f"![{text(found.title)}. {text(found.caption)}](plots/{name})", ""] if found else []


def _configuration(params: Mapping[str, Any]) -> str:
    return ", ".join(code(f"{name}={level_text(value)}") for name, value in params.items()) or "the only configuration"


def _interval(ends: tuple[float, float] | None) -> str:
    return f"{number(ends[0])} to {number(ends[1])}" if ends else "-"


def _unranked(entry: Entry) -> str:
    scored = [f"mean {number(entry.mean)}, n = {entry.n} ({runs(entry.trials)})"] if entry.n else []
    return "; ".join([*scored, *(f"{status}, {runs(numbers)}" for status, numbers in entry.unscored.items())])


def _tally(values: Any) -> str:  # noqa: ANN401 because records hold any JSON
    counts = Counter(level_text(value) for value in values if value not in {None, ""})
    return ", ".join(f"{value} ({count} trials)" for value, count in sorted(counts.items()))
