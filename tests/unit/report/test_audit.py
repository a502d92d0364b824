"""Tables of any origin: the source documents as golden cases, and what a table may look like."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from hpc_sweep.cli import main
from hpc_sweep.errors import UserError
from hpc_sweep.report.audit import Question, assignments, audit
from tests.conftest import ROOT

TABLES = ROOT / "tests" / "data" / "audit"


def alarms(answer):
    """Return the text of every alarm by its kind."""
    return {alarm.kind: alarm.text for alarm in answer.decision.alarms}


def table(tmp_path, text):
    """Write a table."""
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def scores(answer):
    """Return the judged value of every row, by its place."""
    return [one.value for one in answer.evidence.observations]


def test_stage_13_has_42_duplicates_42_holes_and_no_unwarranted_winner(shared_data):
    """The real 180 rows: every accident of that sweep is told, with the noise between identical runs."""
    answer = audit(shared_data / "stage13_runs.csv", Question("ood/f1", "max"))
    found = alarms(answer)

    assert answer.columns["hyperparameters"] == "hidden_units, dropout, learning_rate"
    assert answer.columns["replicate"] == "seed"
    assert found["duplicate_runs"].startswith("42 runs repeat")
    assert "0 of 42 such groups are equal" in found["duplicate_runs"]
    assert "sd of 0.0466" in found["duplicate_runs"]
    assert found["missing_cells"].startswith("42 of the 180 cells")
    assert "18 with 1, 6 with 2, 36 with 3" in found["ragged_replicates"]
    assert "(104 trials)" in found["mixed_code"]
    assert "14 values from 0.05 to 1" in found["threshold_chosen_on_the_same_split"]
    assert "averaging_unknown" not in found
    assert {"selected_on_test", "metrics_disagree", "edge_of_grid"} <= found.keys()
    assert answer.decision.verdict == "leading"
    assert len(answer.decision.tie_set) > 10
    assert answer.decision.winner.shrunk < answer.decision.winner.mean


def test_document_000_ties_and_a_configuration_that_never_ran():
    """Two means of four and five runs are a tie, and what is carried forward is in no row."""
    carried = {"hidden_units": 1024, "dropout": 0.25, "learning_rate": 0.001}
    found = alarms(audit(TABLES / "000_top_configurations.csv", Question("ood/f1", "max", carried=carried)))

    assert "Welch's t = 0.78, p = 0.46, a tie" in found["aggregated"]
    assert "unequal numbers of runs (4, 5, 4, 4)" in found["aggregated"]
    assert "is in no row of this table: it never ran here" in found["carried_forward_never_ran"]
    assert "Learning Rate=0.001 is the largest" in found["edge_of_grid"]
    assert {"selected_on_test", "one_replicate", "part_of_a_table"} <= found.keys()


def test_document_001_does_not_say_the_split_and_ends_at_an_edge():
    """Training or validation recall? And pos_weight 25 is the largest that was tried."""
    question = Question("recall", "max", params=("bce_weight", "dice_smooth", "pos_weight"))
    found = alarms(audit(TABLES / "001_pictures_with_true_positives.csv", question))

    assert "does not say on which split 'recall' was measured" in found["split_unknown"]
    assert "pos_weight=25 is the largest of the 4 values" in found["edge_of_grid"]
    assert "11 of the 4 x 3 x 4 = 48" in found["part_of_a_table"]


def test_document_002_each_metric_elects_another_row():
    """F1, NDCG, precision and recall elect runs 1, 16, 18 and 15; F1 is averaged in a way that is not told."""
    answer = audit(TABLES / "002_retrieval.tsv", Question("F1", "max"))
    found = alarms(answer)

    assert re.findall(r"Run (\d+)", found["metrics_disagree"]) == ["1", "16", "18", "15"]
    assert found["averaging_unknown"].startswith("In 20 of 20 rows")
    assert "-0.0066 to -0.0003" in found["averaging_unknown"]
    assert answer.decision.verdict == "cannot_tell"
    assert len(answer.decision.tie_set) == 20


def test_document_003_is_about_30_examples():
    """22, 22, 25 and 29 of 30: the intervals overlap and the lead is no result."""
    answer = audit(TABLES / "003_strategies.csv", Question("Accuracy", "max", params=("Search Method",)))
    found = alarms(answer)

    assert "whole parts of 30" in found["few_examples"]
    assert "0.833 to 0.994 (Wilson)" in found["small_evaluation_set"]
    assert "p = 0.195" in found["narrow_lead"]
    assert "split_unknown" in found
    assert len(answer.decision.tie_set) == 4


def test_document_004_one_seed_two_edges_and_two_units():
    """One seed, a lead below one standard error, a winner at two edges, percent beside shares."""
    answer = audit(TABLES / "004_top_performers.csv", Question("val/accuracy", "max", examples=1346))
    found = alarms(answer)

    assert answer.columns["hyperparameters"] == "Dropout, LR, L2"
    assert "1 of 4 values" in found["mixed_units"]
    assert "LR=0.001 is the largest" in found["edge_of_grid"]
    assert "L2=0.0001 is the smallest" in found["edge_of_grid"]
    assert "4 of 4 configurations" in found["one_replicate"]
    assert "is 0.0112, 0.8 standard errors" in found["narrow_lead"]
    assert answer.decision.verdict == "cannot_tell"


def test_ragged_rows_empty_cells_and_copies_are_told(tmp_path):
    """A row that lacks a cell, a metric that is no number, and a row that stands twice."""
    text = "lr,seed,val/acc,val/loss\n0.1,1,0.5,1.0\n0.1,1,0.5,1.0\n0.1,2,0.6\n0.2,1,n/a,1\n0.2,2,0.7,0.9\n"
    answer = audit(table(tmp_path, text), Question("val/acc", "max"))
    found = alarms(answer)

    assert "1 rows have more or fewer cells than the 4 columns (lines 4)" in found["ragged_rows"]
    assert found["metric_missing"].startswith("1 of 5 completed trials have no finite val/acc (Run 4)")
    assert "1 of 1 such groups are equal in everything (copies)" in found["duplicate_runs"]
    assert answer.decision.evidence["copies"] == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "question", "says"),
    [
        ("a,b\n", Question("a", "max"), "no rows"),
        ("a,a,b\n1,2,3\n", Question("b", "max"), "Two columns are called 'a'"),
        ("lr,acc\n1,2\n", Question("f1", "max"), "no column 'f1'"),
        ("lr,acc\n1,2\n", Question("acc", "max", params=("wd",)), "no column 'wd'"),
        ("name,acc\nx,2\n", Question("acc", "max"), "--params"),
        ("lr,acc\n1,2\n", Question("acc", "max", carried={"wd": 1}), "no column 'wd'"),
    ],
)
def test_table_that_cannot_be_judged_says_what_to_type(tmp_path, text, question, says):
    """Each mistake is one sentence that names the file and the columns that there are."""
    with pytest.raises(UserError, match=says):
        audit(table(tmp_path, text), question)


@pytest.mark.parametrize("text", ["", "lr", "=0.1", "lr=0.1,x"])
def test_carried_configuration_must_be_assignments(text):
    """Anything else than name=value is refused."""
    with pytest.raises(UserError, match="is no configuration"):
        assignments(text)


def test_command_writes_the_report_and_prints_one_object(tmp_path):
    """`--output` leaves decision, tables, pictures and page; `--json` prints the decision."""
    path = table(
        tmp_path, "lr,seed,val/acc\n" + "".join(f"{lr},{s},{lr + s / 100}\n" for lr in (0.1, 0.2) for s in (1, 2))
    )
    asked = ["audit", str(path), "--metric", "val/acc", "--mode", "max"]
    done = CliRunner().invoke(main, [*asked, "--output", str(tmp_path / "out")])
    printed = CliRunner().invoke(main, [*asked, "--json"])

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "decision" / "report.html").is_file()
    assert "4 rows of `t.csv`" in (tmp_path / "out" / "decision" / "report.md").read_text()
    assert json.loads(printed.output)["winner"]["configuration"] == {"lr": 0.2}
    assert json.loads((tmp_path / "out" / "decision" / "decision.json").read_text()) == json.loads(printed.output)


def test_column_of_the_exact_name_is_judged_and_its_namesake_is_kept_apart(tmp_path):
    """`val_f1` and `validation_f1` mean the same, and are two columns."""
    path = table(tmp_path, "lr,seed,val_f1,validation_f1\n0.1,1,0.9,0.2\n0.2,1,0.3,0.8\n")
    first = audit(path, Question("val_f1", "max"))
    second = audit(path, Question("validation_f1", "max"))

    assert first.columns["metric"] == "val_f1"
    assert first.evidence.observations[0].metrics == {"val/f1": 0.9, "val/validation_f1": 0.2}
    assert scores(first) == [0.9, 0.3]
    assert scores(second) == [0.2, 0.8]
    with pytest.raises(UserError, match="'val/f1' may be 'val_f1' or 'validation_f1'"):
        audit(path, Question("val/f1", "max"))


def test_text_that_alone_tells_rows_apart_is_asked_about(tmp_path):
    """Two optimizers with one run each are no two reruns, and nobody but a person can tell them from names."""
    path = table(tmp_path, "optimizer,lr,seed,val/accuracy\nsgd,.1,1,.5\nadam,.1,1,.9\n")

    with pytest.raises(UserError, match=r"Only 'optimizer' \(sgd, adam\) tells two rows apart") as raised:
        audit(path, Question("val/accuracy", "max"))

    assert raised.value.where == "File: t.csv, lines 2 and 3"
    assert raised.value.next_step == "Type --params lr,optimizer if it was varied, else --params lr"
    assert len(audit(path, Question("val/accuracy", "max", params=("lr", "optimizer"))).evidence.configurations) == 2
    assert len(audit(path, Question("val/accuracy", "max", params=("lr",))).evidence.configurations) == 1


def test_names_stamps_and_constants_are_told_and_are_no_hyperparameters(tmp_path):
    """What differs in every row is not used where rows differ without it; a constant is no hyperparameter's level."""
    rows = "".join(f"run {lr} {s},https://a/{lr}{s},{lr},8,{s},{lr + s / 100}\n" for lr in (0.1, 0.2) for s in (1, 2))
    path = table(tmp_path, f"label,link,lr,batch,seed,val/acc\n{rows}")
    columns = audit(path, Question("val/acc", "max")).columns

    assert columns["not used"] == "label, link"
    assert columns["hyperparameters"] == "lr"
    assert columns["constant"] == "batch=8"


def test_stamps_that_differ_between_reruns_are_no_question(tmp_path):
    """The hour of a rerun is never taken for a level."""
    path = table(tmp_path, "when,lr,seed,val/acc\n2025-01-02T03:04,1,1,.5\n2025-01-02T04:04,1,1,.6\n")

    assert alarms(audit(path, Question("val/acc", "max")))["duplicate_runs"].startswith("1 runs repeat")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_letters_of_every_unicode_encoding_stay_apart(tmp_path, encoding):
    """Two levels that differ in one letter are two levels."""
    text = "model,seed,val/acc\né,1,.5\né,2,.5\nè,1,.9\nè,2,.9\n"
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    answer = audit(table(tmp_path, mark + text.encode(encoding)), Question("val/acc", "max"))

    assert [one.params["model"] for one in answer.evidence.configurations] == ["é", "è"]


def test_table_in_another_encoding_is_refused(tmp_path):
    """Letters that cannot be read would become one level."""
    text = "model,seed,val/acc\né,1,.5\nè,1,.9\n".encode("latin-1")

    with pytest.raises(UserError, match="not in UTF-8") as raised:
        audit(table(tmp_path, text), Question("val/acc", "max"))

    assert raised.value.where == "File: t.csv, line 2"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (f"lr,seed,val/acc\n.1,1,.5\n{'x' * 140_000},1,.5\n", 3, "larger than field limit"),
        ('lr,val/acc\n.1,.5\n".2,.6\n.3,.9\n', 3, "unexpected end of data"),
        ("lr,seed,val/acc\n.1,1,1e308\n.2,1,-1e308\n", 2, r"'1e308' in column 'val/acc' is beyond"),
        ("lr,seed,val/acc\n.1,1,.5\n\n.2,1,1e999\n", 4, r"'1e999' in column 'val/acc' is beyond"),
        ("lr,val/acc,val/loss\n.1,.5,1\n.2,.5,1e200\n", 3, r"'1e200' in column 'val/loss' is beyond"),
        ('lr,val/loss\n.1,5\n.2,"1,234.5"\n', 3, r"'1,234\.5' in column 'val/loss' is no number"),
        ('lr,val/loss\n.1,"0,7"\n', 2, "'0,7' in column 'val/loss' is no number"),
        ("lr\tval/loss\n1\t1,234\n2\t2,345\n", 2, "'1,234' in column 'val/loss' is no number"),
        ("lr;val/loss\n0.1;0,7\n0.2;0,8\n", 2, "'0,7' in column 'val/loss' is no number"),
        ("lr,val/acc\n.1,\n.2,n/a\n", 3, "has no number: it begins with 'n/a'"),
        ("lr,val/acc\n.1,\n.2,\n", 2, "has no number: all its cells are empty"),
    ],
)
def test_cell_that_cannot_be_judged_is_named_with_its_line(tmp_path, text, line, says):
    """A cell that is no score, or too large, is one sentence and a place, never a traceback."""
    with pytest.raises(UserError, match=says) as raised:
        audit(
            table(tmp_path, text),
            Question(text.split("\n")[0].replace("\t", ",").replace(";", ",").split(",")[-1], "max"),
        )

    assert raised.value.where == f"File: t.csv, line {line}"


def test_numeral_that_no_float_holds_is_a_text(tmp_path):
    """A level may be 1e308, have five thousand digits, or differ from another in the last of twenty-two."""
    text = f"a,val/acc\n{'1' * 5000},.5\n{'1' * 5000},.6\n{2**70},.5\n{2**70 + 1},.5\n1e308,.4\n"
    answer = audit(table(tmp_path, text), Question("val/acc", "max", params=("a",)))

    assert [one.params["a"] for one in answer.evidence.configurations] == ["1" * 5000, 2**70, 2**70 + 1, "1e308"]


@pytest.mark.parametrize(
    "text",
    [
        "| `lr` | seed | val/acc |\n|---|:---:|---:|\n| 0.1 | 1 | **0.5** |\n| 0.2 | 1 | |\n",
        "+---+---+---+\n| lr | seed | val/acc |\n+===+===+===+\n| 0.1 | 1 | 0.5 |\n| 0.2 | 1 | |\n+---+---+---+\n",
        " lr | seed | val/acc\n----+------+----\n 0.1 | 1 | 0.5\n 0.2 | 1 | \n",
        "lr|seed|val/acc\n0.1|1|0.5\n0.2|1|\n",
    ],
)
def test_drawn_table_has_only_its_rows(tmp_path, text):
    """The rules and the outer pipes of Markdown and of terminals are no cells."""
    answer = audit(table(tmp_path, text), Question("val/acc", "max"))

    assert len(answer.evidence.observations) == 2
    assert answer.evidence.observations[0].value == 0.5
    assert answer.columns["hyperparameters"] == "lr"
    assert "ragged_rows" not in alarms(answer)


def test_decimal_commas_are_read_where_nothing_else_can_be_meant(tmp_path):
    """Between semicolons `0,7` is a number; a list of layers beside it stays what it is."""
    text = "lr;layers;seed;val/acc\n0,1;64,32,16;1;70,5 %\n0,1;64,32,16;2;n/a\n0,01;64;1;0,65 ± 0,02\n"
    answer = audit(table(tmp_path, text), Question("val/acc", "max", params=("lr", "layers")))

    assert [one.params for one in answer.evidence.configurations] == [
        {"lr": 0.1, "layers": "64,32,16"},
        {"lr": 0.01, "layers": 64},
    ]
    assert scores(answer)[::2] == [0.705, 0.65]


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (Question("lr", "max", params=("lr",)), "'lr' cannot be both the metric and a hyperparameter"),
        (Question("val/acc", "max", params=("lr", "val acc")), "'val/acc' cannot be both the metric and a hyperparam"),
        (Question("seed", "max"), "'seed' cannot be both the metric and the replicate"),
        (Question("val/acc", "max", params=("lr", "seed")), "'seed' cannot be both the replicate and a hyperparameter"),
    ],
)
def test_column_has_one_meaning(tmp_path, question, says):
    """A column that is asked for as two things is refused."""
    with pytest.raises(UserError, match=says):
        audit(table(tmp_path, "lr,seed,val/acc\n.1,1,.5\n.2,1,.6\n"), question)


def test_alarms_of_a_table_name_no_sweep_and_a_hole_once():
    """Whoever has a table has no sweep to resume; what is missing of it is one alarm."""
    for name, question in (
        ("000_top_configurations.csv", Question("ood/f1", "max")),
        ("002_retrieval.tsv", Question("F1", "max")),
        ("003_strategies.csv", Question("Accuracy", "max", params=("Search Method",))),
        ("004_top_performers.csv", Question("val/accuracy", "max", examples=1346)),
    ):
        found = audit(TABLES / name, question).decision.alarms
        kinds = [alarm.kind for alarm in found]

        assert "incomplete_grid" not in kinds
        assert not [one for one in found if re.search("sweep|command|objective|trials'", one.remedy)], name
        assert {one.kind: one.remedy for one in found}["one_replicate"] == "more replicates of these configurations"


def test_command_leaves_the_folder_of_a_sweep_alone(tmp_path):
    """The decision and the winner of a sweep are not replaced by those of a table."""
    path = table(tmp_path, "lr,seed,val/acc\n.1,1,.5\n.2,1,.6\n")
    sweep = tmp_path / "sweep"
    winner = sweep / "decision" / "winner" / "optimized.yaml"
    winner.parent.mkdir(parents=True)
    winner.write_text("lr: 1\n")
    (sweep / "sweep.json").write_text("{}")

    asked = ["audit", str(path), "--metric", "val/acc", "--mode", "max", "--output", str(sweep)]
    done = CliRunner().invoke(main, asked)

    assert done.exit_code == 2
    assert "is not written into the folder of a sweep" in done.output
    assert [one.name for one in sweep.rglob("*") if one.is_file()] == ["sweep.json", "optimized.yaml"]


def test_command_refuses_a_file_that_is_not_there(tmp_path):
    """A missing table is a sentence and exit status 2."""
    done = CliRunner().invoke(main, ["audit", str(tmp_path / "no.csv"), "--metric", "a", "--mode", "max"])

    assert done.exit_code == 2
    assert "cannot be read" in done.output
