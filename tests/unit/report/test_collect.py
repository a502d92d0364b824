"""Collecting: derived files, the same bytes, at any time and several at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from hpc_sweep import paths
from hpc_sweep.errors import ForeignSweepError, UserError
from hpc_sweep.ledger import read_ledger
from hpc_sweep.report import charts
from hpc_sweep.report.collect import collect
from tests.builders import ACCURACY, Design, build, diverged, ended, failed, finish, plan_sweep, publish
from tests.conftest import ROOT

GRID = {"lr": [0.001, 0.01, 0.1]}


FILES = {f"decision/{name}" for name in ("decision.json", "report.md", "report.html", "leaderboard.csv")}
FILES |= {"merged/trials.csv", "merged/curves.csv"}


def derived(sweep):
    """Return every derived file with its bytes."""
    files = [path for folder in (sweep.merged, sweep.decision) for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(sweep.root)): path.read_bytes() for path in files}


def score(params, _):
    """Return a curve whose end depends on the learning rate."""
    return [0.1, 0.5 + params["lr"]]


def test_every_derived_file_is_written(tmp_path):
    """Tables, pictures, report, winner and decision are there, and nothing is left beside them."""
    sweep = build(tmp_path / "s", GRID, score)
    decision = collect(sweep)

    names = {path for path in derived(sweep) if not path.startswith("decision/plots/")}
    assert names == FILES | {"decision/winner/optimized.yaml"}
    assert {path.name for path in sweep.plots.iterdir()} <= set(charts.NAMES)
    assert (sweep.plots / charts.LEADERBOARD).exists()
    assert json.loads(sweep.decision_json.read_text()) == json.loads(json.dumps(decision.as_json()))
    assert decision.winner.configuration == {"lr": 0.1}


def test_same_records_give_the_same_bytes(tmp_path):
    """Collecting twice, and collecting a copy of the records from scratch, changes nothing."""
    sweep = build(tmp_path / "s", GRID, score)
    collect(sweep)
    first = derived(sweep)
    collect(sweep)
    second = derived(sweep)
    shutil.rmtree(sweep.merged)
    shutil.rmtree(sweep.decision)
    collect(sweep)

    assert first == second == derived(sweep)


def test_records_are_left_alone(tmp_path):
    """The collector writes into its two folders only."""
    sweep = build(tmp_path / "s", GRID, score)
    before = {path: path.read_bytes() for path in sweep.root.rglob("*") if path.is_file()}
    collect(sweep)

    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in sweep.root.iterdir()} - {
        path.relative_to(sweep.root).parts[0] for path in before
    } == {
        "merged",
        "decision",
    }


def logged(root):
    """Return a sweep whose second shard has four entries, of one trial each."""
    design = Design({"lr": [1, 2, 3, 4, 5, 6, 7, 8]})
    sweep = plan_sweep(root, design)
    for trial in design.trials():
        publish(sweep, 1 + (trial.number > 4), [{"trial": trial.id, **ended(trial.number / 10)}])
    return sweep


def alarm(decision, kind):
    """Return the text of the alarms of a kind."""
    return [alarm.text for alarm in decision.alarms if alarm.kind == kind]


def test_records_that_vanished_are_told_and_no_longer_counted(tmp_path):
    """The logs have less than the decision on disk was made from: it is made again from what is there, and says so."""
    sweep = logged(tmp_path / "s")
    assert collect(sweep).winner.trials == [8]
    for number in (3, 4):
        (sweep.shard(2) / f"{number:06d}.json").rename(tmp_path / f"{number}")
    decision = collect(sweep)
    told = derived(sweep)

    assert (decision.winner.trials, decision.coverage["completed"]) == ([6], 6)
    (text,) = alarm(decision, "vanished_records")
    assert text.startswith("2 entries that an earlier report was made from cannot be read any more")
    assert "000003 to 000004 of shards/0002" in text
    assert text in sweep.report_md.read_text()
    assert json.loads(sweep.decision_json.read_text())["coverage"]["completed"] == 6

    assert collect(sweep) == decision
    assert derived(sweep) == told


def test_vanished_records_are_forgotten_when_they_are_back_or_when_a_person_says_so(tmp_path):
    """Brought back from a copy they count again; without the decision that knew of them nothing is left to tell."""
    sweep = logged(tmp_path / "s")
    whole = collect(sweep)
    last, away = sweep.shard(2) / "000004.json", tmp_path / "away"
    last.rename(away)
    collect(sweep)
    away.rename(last)
    assert collect(sweep) == whole

    last.unlink()
    assert alarm(collect(sweep), "vanished_records")
    sweep.decision_json.unlink()
    assert not alarm(collect(sweep), "vanished_records")


KILLED = """
import os, pathlib, sys
from hpc_sweep import paths
from hpc_sweep.report.collect import collect
real = pathlib.Path.replace
pathlib.Path.replace = lambda path, target: os._exit(9) if target.name == sys.argv[2] else real(path, target)
collect(paths.Sweep(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.parametrize("name", ["decision/decision.json", "merged/trials.csv"])
def test_what_a_killed_collector_left_is_removed_a_day_later(tmp_path, name):
    """A young one may belong to a collector that is at work; no other file is touched."""
    sweep = build(tmp_path / "s", GRID, score)
    collect(sweep)
    whole, place = derived(sweep), sweep.root / name
    killed = subprocess.run([sys.executable, "-c", KILLED, sweep.root, place.name], check=False, cwd=ROOT)
    (left,) = place.parent.glob(f".{place.name}-*")
    others = [left.with_name(other) for other in (".decision.json-mine", f".notes.txt-{'0' * 32}")]
    for path in others:
        path.write_text("another's")
        os.utime(path, (0, 0))
    assert killed.returncode == 9

    collect(sweep)
    assert left.exists()
    day_ago = sweep.decision_json.stat().st_mtime - 24 * 3600 - 60
    os.utime(left, (day_ago, day_ago))
    collect(sweep)
    assert not left.exists()
    assert all(path.exists() for path in others)
    for path in others:
        path.unlink()
    assert derived(sweep) == whole


@pytest.mark.parametrize(
    ("most", "name", "said"),
    [
        (10, "choice.json", "The choice of Run 1 is not recorded."),
        (400, "decision/plots/leaderboard.png", "The choice of Run 1 is recorded; collect again for the report."),
    ],
)
def test_a_full_disk_names_the_file_and_what_became_of_the_choice(tmp_path, most, name, said):
    """The process may write no file of more than so many bytes: not the temporary file is named, but the wanted one."""
    sweep = build(tmp_path / "s", GRID, score)
    words = ["-m", "hpc_sweep.cli", "collect", sweep.root, "--choose", "1", "--reason", "smaller"]
    code = f"import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))"
    code += "; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    done = subprocess.run([sys.executable, "-c", code, *words], check=False, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.splitlines() == ["File too large", str(sweep.root / name), said]
    assert sweep.choice.exists() == (name != "choice.json")
    assert not list(sweep.root.rglob(".*-*"))


def test_a_choice_takes_effect_after_records_vanished(tmp_path):
    """Chosen, and taken back by removing choice.json, whatever the decision on disk was made from."""
    sweep = logged(tmp_path / "s")
    collect(sweep)
    (sweep.shard(2) / "000004.json").unlink()

    assert collect(sweep, chosen=(2, "smaller")).choice.trial == 2
    assert "Run 2" in sweep.report_md.read_text()
    sweep.choice.unlink()
    assert collect(sweep).choice is None
    with pytest.raises(UserError, match="Run 8 has no score"):
        collect(sweep, chosen=(8, "it was good"))


@pytest.mark.parametrize("broken", ["", "{", "[]", "{}", '{"inputs": 3}', '{"inputs": {}}', "NaN"])
def test_unreadable_decision_is_made_again(tmp_path, broken):
    """A derived file that somebody broke is no reason to stop."""
    sweep = build(tmp_path / "s", GRID, score)
    sweep.decision.mkdir()
    sweep.decision_json.write_text(broken)

    assert collect(sweep).winner is not None
    assert json.loads(sweep.decision_json.read_text())["schema"] == 1


def test_what_no_longer_holds_is_removed(tmp_path):
    """Without a winner an old `optimized.yaml` goes, and so do pictures that are not drawn any more."""
    sweep = build(tmp_path / "s", GRID, lambda *_: None)
    sweep.optimized.parent.mkdir(parents=True)
    sweep.optimized.write_text("old: 1")
    sweep.plots.mkdir()
    (sweep.plots / charts.CONFUSION).write_bytes(b"old")
    decision = collect(sweep)

    assert decision.winner is None
    assert set(derived(sweep)) == FILES


def test_growing_sweep_is_collected_again(tmp_path):
    """What was published since is in the next report, also when its winner is another one."""
    design = Design({"lr": [1, 2, 3]})
    sweep = plan_sweep(tmp_path / "s", design)
    first = design.trials()[0]
    publish(sweep, 1, [{"trial": first.id, **ended(0.9)}])
    partial = collect(sweep)
    finish(sweep, Design({"lr": [1, 2, 3]}), lambda p, _: p["lr"] if p["lr"] > 1 else None)
    whole = collect(sweep)

    assert (partial.winner.trials, partial.coverage["missing"]) == ([1], 2)
    assert (whole.winner.trials, whole.coverage["missing"]) == ([3], 0)
    assert "PARTIAL" not in sweep.report_md.read_text()


def test_shards_that_are_over_lose_their_unfinished_trials(tmp_path):
    """With `over` a trial without an outcome is lost, not planned."""
    sweep = build(tmp_path / "s", GRID, lambda p, _: 0.5 if p["lr"] == 0.1 else None)
    collect(sweep, over={1})

    assert "| lost | 2 |" in sweep.report_md.read_text()


class Meanwhile:
    """The shards that are over, for a collector that is overtaken after it has read the logs."""

    def __init__(self, act):
        self.act, self.acted = act, False

    def __contains__(self, shard):
        if not self.acted:
            self.acted = True
            self.act()
        return False

    def __iter__(self):
        """No shard is known to be over."""
        return iter(())


def test_collector_that_is_overtaken_while_it_reads_gives_way(tmp_path):
    """Another one publishes and collects between this one's reading and its writing: this one reads again."""
    design = Design({"lr": [1, 2]}, shards=1)
    sweep = plan_sweep(tmp_path / "s", design)
    one, two = design.trials()
    publish(sweep, 1, [{"trial": one.id, **ended(0.5)}])

    def overtake():
        publish(sweep, 1, [{"trial": two.id, **ended(0.9)}])
        collect(sweep)

    decision = collect(sweep, over=Meanwhile(overtake))

    assert decision.winner.trials == [2]
    assert not alarm(decision, "vanished_records")
    assert decision == collect(sweep)


def test_several_at_once_leave_what_one_would_leave(tmp_path):
    """While results come in four collectors run; in the end the files are those of the whole sweep."""
    design = Design({"lr": [1, 2, 3, 4]}, shards=4)
    sweep = plan_sweep(tmp_path / "s", design)
    with ThreadPoolExecutor(4) as pool:
        running = []
        for shard, trial in enumerate(design.trials(), start=1):
            publish(sweep, shard, [{"trial": trial.id, **ended([0.1, trial.number / 10])}])
            running.append(pool.submit(collect, sweep))
        decisions = [future.result() for future in running]
    found = derived(sweep)
    collect(sweep)

    assert decisions[-1].winner.trials == [4]
    assert found == derived(sweep)


@pytest.mark.parametrize(
    "ending", [None, failed(), diverged(), {"metrics": {}}, {"outcome": "pruned", "metrics": {"val/accuracy": 0.5}}]
)
def test_sweep_without_a_score_is_collected(tmp_path, ending):
    """Whatever became of the trials, there is one row for each, a report and a decision without a winner."""
    sweep = build(tmp_path / "s", GRID, lambda *_: ending)

    assert collect(sweep).winner is None
    assert len(sweep.trials_csv.read_text().splitlines()) == 1 + 3


def test_lone_surrogates_leave_readable_files(tmp_path):
    """A name with bytes that are no UTF-8 does not spoil the files for every other reader."""
    sweep = build(tmp_path / "s", {"x\udc80": ["\udcff", "b"]}, lambda *_: failed(text="\udc81") if _[1] else 0.5)
    decision = collect(sweep)

    for name, content in derived(sweep).items():
        assert name.endswith(".png") or content.decode("utf-8")
    assert json.loads(sweep.decision_json.read_text())["winner"]["configuration"] == decision.winner.configuration


def test_folder_that_is_no_sweep_is_refused(tmp_path):
    """A wrong folder gets a sentence, and no files."""
    with pytest.raises(ForeignSweepError, match=r"no sweep\.json"):
        collect(paths.Sweep(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_inputs_say_what_was_read(tmp_path):
    """The decision carries the highest number of every log."""
    sweep = build(tmp_path / "s", GRID, score, objective=ACCURACY)

    assert collect(sweep).inputs == dict(read_ledger(sweep).inputs)
