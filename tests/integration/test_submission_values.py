"""Odd values through a real sbatch: each arrives in its trial as it was typed, and none is executed."""

import json
import random

import pytest

from tests.integration.sweeping import ON_SLURM, App, until_over

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

KEEPING_APP = """
import json, os
import hydra
from omegaconf import OmegaConf

@hydra.main(version_base="1.3", config_path="conf", config_name="app")
def main(cfg):
    values = list(cfg.x) if OmegaConf.is_list(cfg.x) else [cfg.x]
    with open(os.path.join(os.environ["NOTES"], f"{cfg.n}.json"), "w") as file:
        json.dump(values, file)
    return 1.0

if __name__ == "__main__":
    main()
"""

COMMANDS = [
    "$(touch {canary})",
    "`touch {canary}`",
    "; touch {canary} #",
    "\ntouch {canary}\n",
    "' ; touch {canary} ; '",
    '" && touch {canary} && "',
    "| touch {canary}",
    "${{IFS}}touch${{IFS}}{canary}",
    "\\$(touch {canary})",
    "x\n#SBATCH --output={canary}\n",
]

CHARACTERS = "'\"\n\t,=/%${}[]()\\:#~*?!&|;<>` -@^+äé日本😀\u2028\u202e\xa0"

PIECES = [*CHARACTERS, "\r\n", "\\\\", "  ", "%j", "$HOME", "${", "--", "null", "1e3", "NaN", "../", "Z9"]

COUNT, TRIALS = 1000, 20


def odd_values(canary):
    """Return a thousand strings of which each is trouble somewhere, 4 KB ones and empty ones among them."""
    chance = random.Random(20260102)
    values = [
        "",
        " ",
        "-",
        "--",
        "-1",
        "-x=1",
        "null",
        "true",
        "1",
        "1.0",
        "0b1",
        "[]",
        "{}",
        "[1,2]",
        "{a:1}",
        "a,b",
        "a=b",
    ]
    values += [command.format(canary=canary) for command in COMMANDS]
    values += ["".join(chance.choices(PIECES, k=1500))[:4096] for _ in range(3)]
    while len(values) < COUNT:
        values.append("".join(chance.choices(PIECES, k=chance.randint(1, 8))))
    return values


def typed(value):
    """Return a string as Hydra's grammar has it: quoted, and no interpolation in it."""
    text = _without_interpolation(value)
    # Before the closing quote, and before a quote inside, backslashes count double.
    out, backslashes = [], 0
    for character in text:
        if character == "'":
            out.append("\\" * backslashes + "\\'")
        else:
            out.append(character)
        backslashes = backslashes + 1 if character == "\\" else 0
    return "'" + "".join(out) + "\\" * backslashes + "'"


def _without_interpolation(value):
    """Escape every ``${`` as OmegaConf reads it; backslashes right before it count double."""
    out, backslashes = [], 0
    for n, character in enumerate(value):
        if value.startswith("${", n):
            out.append("\\" * (backslashes + 1) + "$")
        else:
            out.append(character)
        backslashes = backslashes + 1 if character == "\\" else 0
    return "".join(out)


def test_a_thousand_odd_values_arrive_and_none_is_executed(devcluster, tmp_path):
    """Twenty trials with fifty values each, in four shards, in a folder with an odd name."""
    app = App.write(tmp_path / "app", devcluster.env).with_notes(tmp_path / "notes")
    (app.folder / "app.py").write_text(KEEPING_APP)
    (app.folder / "conf" / "app.yaml").write_text("x: null\nn: ${hydra:job.num}\n")
    canary, root = tmp_path / "canary", tmp_path / "o'd \"d%j$(touch x);"
    values = odd_values(canary)
    assert len(values) == COUNT
    lists = [values[n::TRIALS] for n in range(TRIALS)]
    swept = "x=" + ",".join("[" + ",".join(map(typed, each)) + "]" for each in lists)

    done = app.sweep(root, *ON_SLURM, "hydra.launcher.trials_per_shard=5", swept)
    assert done.returncode == 0, done.stderr[-3000:]
    until_over(devcluster)

    arrived = [json.loads((tmp_path / "notes" / f"{n}.json").read_text()) for n in range(TRIALS)]
    wrong = [pair for got, sent in zip(arrived, lists, strict=True) for pair in zip(got, sent, strict=True)]
    assert [pair for pair in wrong if pair[0] != pair[1]] == []
    assert not canary.exists()
    assert list(tmp_path.rglob("x")) == []


def test_a_value_that_is_swept_by_itself_arrives_too(devcluster, tmp_path):
    """Thirteen odd levels of one key, beside an override with an interpolation that only a running job can resolve."""
    app = App.write(tmp_path / "app", devcluster.env).with_notes(tmp_path / "notes")
    (app.folder / "app.py").write_text(KEEPING_APP)
    (app.folder / "conf" / "app.yaml").write_text("x: null\nn: 0\n")
    canary, root = tmp_path / "canary", tmp_path / "sweep"
    values = odd_values(canary)[17:27] + odd_values(canary)[:3]

    done = app.sweep(
        root, *ON_SLURM, "hydra.launcher.trials_per_shard=7", "n=${hydra:job.num}", "x=" + ",".join(map(typed, values))
    )
    assert done.returncode == 0, done.stderr[-3000:]
    until_over(devcluster)

    arrived = [json.loads((tmp_path / "notes" / f"{n}.json").read_text()) for n in range(len(values))]
    assert arrived == [[value] for value in values]
    assert not canary.exists()
