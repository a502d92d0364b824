"""The CSV files: readable back, safe in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from hpc_sweep.report.collect import collect
from hpc_sweep.report.tables import cell, csv_text
from tests.builders import build, failed


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *((-0.5, "-0.5"), (-3, "-3"), (1e-05, "1e-05"), (0, "0"), (True, "true"), (None, "null"), (pd.NA, "")),
        *(
            (float("nan"), ""),
            ("", ""),
            ("cnn", "cnn"),
            ("a,b", '"a,b"'),
            ('say "x"', '"say ""x"""'),
            ("a\nb", '"a\nb"'),
        ),
        *(("a;=b", '"a;=b"'), (" x", '" x"'), ([1, "a"], '"[1,""a""]"'), ("\udc80", "\\udc80"), ("a\x00b", "a\\x00b")),
    ],
)
def test_cell(value, written):
    """Numbers stay numbers, negative ones too; text is quoted where RFC 4180 wants it."""
    assert cell(value) == written


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "-0.5", "@SUM(A1)", "\t=1", "\r=1", "  =1", "=cmd|' /C calc'!A0", "\uff1d1+1"]
)
def test_text_starts_no_formula(text):
    """Whatever a spreadsheet would compute gets an apostrophe in front, and nothing of it is lost."""
    (row,) = csv.reader(io.StringIO(cell(text) + "\r\n", newline=""))

    assert row == ["'" + text]


def test_names_of_columns_are_guarded_too(tmp_path):
    """A hyperparameter may be called like a formula."""
    sweep = build(tmp_path / "s", {"=x,y": [1]}, lambda *_: 0.5)
    collect(sweep)

    header = next(csv.reader(io.StringIO(sweep.trials_csv.read_text(encoding="utf-8"), newline="")))

    assert "'=x,y" in header


def test_tables_read_back_with_their_numbers(tmp_path):
    """Pandas finds every planned row, exact scores and a negative number; lines end in CR LF."""
    endings = {1: -0.1234567890123456, 2: failed(text='line\n"two", three'), 3: None, 4: [0.1, 0.2]}
    sweep = build(tmp_path / "s", {"x": list(endings)}, lambda p, _: endings[p["x"]])

    collect(sweep)

    trials, curves = pd.read_csv(sweep.trials_csv), pd.read_csv(sweep.curves_csv)
    assert list(trials["val/accuracy"].fillna(0)) == [-0.1234567890123456, 0, 0, 0.2]
    assert trials["error"][1] == 'exception: line\n"two", three'
    assert list(curves["val/accuracy"]) == [0.1, 0.2]
    assert sweep.trials_csv.read_bytes().endswith(b"\r\n")


def test_empty_frame_is_its_header():
    """A table without rows still says what its columns are."""
    assert csv_text(pd.DataFrame(columns=["a", "b"])) == "a,b\r\n"
