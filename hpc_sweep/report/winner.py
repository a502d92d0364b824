"""`decision/winner/optimized.yaml`: the winning trial's task configuration as a member of a Hydra config group."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from hpc_sweep.identity import restored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpc_sweep.analysis.decision import Decision
    from hpc_sweep.ledger import Ledger
    from hpc_sweep.trial import Trial

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


class _Dumper(yaml.SafeDumper):
    """Quote every text that any YAML reader could take for something else.

    OmegaConf reads more texts as numbers (``1e-3``) than PyYAML writes with quotes.
    """

    def ignore_aliases(self, data: object) -> bool:
        """Write equal parts out: an alias is no text that people can edit."""
        del data
        return True


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _PLAIN.fullmatch(text) else '"')


_Dumper.add_representer(str, _represent)


def winning_trial(ledger: Ledger, decision: Decision) -> Trial | None:
    """Return the trial whose configuration is carried on, replicate included: a person's choice, else the pick's."""
    if decision.winner is None:
        return None
    number = decision.choice.trial if decision.choice else decision.winner.trials[0]
    return next(trial for trial in ledger.plan.trials if trial.number == number)


def winning_configuration(ledger: Ledger, decision: Decision) -> dict[str, Any] | None:
    """Return the whole task configuration of the winning trial, unresolved, or None without a winner."""
    trial = winning_trial(ledger, decision)
    return ledger.plan.part_of(trial).configuration(trial) if trial else None


def winner_yaml(ledger: Ledger, decision: Decision) -> str | None:
    """Return the text of `optimized.yaml`, or None without a winner."""
    trial, content = winning_trial(ledger, decision), winning_configuration(ledger, decision)
    if trial is None or content is None:
        return None
    return optimized_yaml(content, provenance(ledger, decision, trial))


def provenance(ledger: Ledger, decision: Decision, trial: Trial) -> list[str]:
    """Return where the configuration comes from, a line for each fact."""
    assert decision.winner is not None
    objective, carried = decision.objective, decision.choice or decision.winner
    lines = [
        f"Sweep {ledger.identity.sweep}, Run {trial.number} (trial {trial.id}).",
        f"{objective['metric']} = {carried.mean!r} at the {objective['at']} epoch, mean of n = {carried.n}.",
        f"Verdict: {decision.verdict}; its rule stands in decision.json.",
    ]
    if decision.choice:
        lines.append(f"A person chose it instead of Run {decision.winner.trials[0]}: {decision.choice.reason}")
        lines.append(f"Its shrunk score less that of the pick: {decision.choice.delta!r}.")
    return lines


def optimized_yaml(content: Mapping[str, Any], comments: list[str]) -> str:
    """Return the file's text; what Hydra and OmegaConf read back is equal to `content`, types included."""
    head = ["# @package _global_", *(f"# {_one_line(comment)}" for comment in comments)]
    written = _as_written(restored(content))
    body = yaml.dump(
        written, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**20
    )
    return "\n".join(head) + "\n" + body


def _as_written(value: Any) -> Any:  # noqa: ANN401 because a configuration is any JSON
    """Return what OmegaConf reads as the member of an Enum that JSON could only name."""
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"enum"}:
        return value["enum"].rpartition(".")[2]
    return {key: _as_written(item) for key, item in value.items()}


def _one_line(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")
