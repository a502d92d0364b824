"""The table of faults is whole, and names tests that are there."""

import re

from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "faults.md").read_text()
ROW = re.compile(r"^\| F(\d+) \|(.+)\|(.+)\|(.+)\|$", re.MULTILINE)
NAME = re.compile(r"\btest_[a-z0-9_]+")
HOME = re.compile(r"`([a-z]+(?:/[a-z]+)*/test_[a-z_]+\.py)")
WITHOUT_A_TEST = {43}


def test_every_fault_has_a_row():
    """F1 to F56, each once, in order."""
    assert [int(row[0]) for row in ROW.findall(TEXT)] == list(range(1, 57))


def test_every_row_names_a_test_or_says_why_there_is_none():
    """At least 40 kinds are tested; those without a test have their reason in the row."""
    named = {int(row[0]) for row in ROW.findall(TEXT) if NAME.search(row[3]) or "…[" in row[3]}

    assert set(range(1, 57)) - named == WITHOUT_A_TEST


def test_every_named_file_and_test_exists():
    """A name that ends in an ellipsis is the beginning of one."""
    files = {home for row in ROW.findall(TEXT) for home in HOME.findall(row[3])}
    texts = {path.stem: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    functions = {name for text in texts.values() for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    wanted = {name for row in ROW.findall(TEXT) for name in NAME.findall(row[3].replace(".py", " .py"))}
    missing = [name for name in wanted - texts.keys() if not any(function.startswith(name) for function in functions)]

    assert [home for home in files if not (ROOT / "tests" / home).exists()] == []
    assert missing == []
