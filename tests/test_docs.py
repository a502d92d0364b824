"""What is written for people holds: links lead somewhere, commands exist, every test says what it tests."""

import ast
import re
import subprocess
import tomllib

import pytest
from click.testing import CliRunner

from hpc_sweep.cli import VERBS, main
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "slurm").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    """A relative link of a page resolves in the repository."""
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    broken = [target for target in targets if not (page.parent / target).exists()]

    assert broken == []


@pytest.mark.parametrize("name", sorted(VERBS))
def test_every_verb_has_help_and_stands_in_a_page(name):
    """What can be typed is documented, with an explanation when asked for."""
    shown = CliRunner().invoke(main, [name, "--help"])

    assert shown.exit_code == 0
    assert len(shown.output.splitlines()) > 4
    assert any(f"hpc-sweep {name}" in page.read_text() for page in PAGES)


def test_every_target_of_the_makefile_is_explained_in_it():
    """The first lines of the Makefile say what can be typed."""
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)[1].split()

    assert {"sweep", "test", "lint", "data"} <= set(targets)
    assert all(f"# make {target}" in text for target in ("sweep", "test", "lint", "data"))


def test_every_dependency_is_pinned():
    """The constraints name one version of each direct dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[\[<>=,]", name)[0].lower() for name in wanted} - {"hpc-sweep"}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {line.partition("==")[0].lower() for line in lines}

    assert names - pinned == set()
    assert all("==" in line for line in lines)
    assert "torch==2.13.0" in lines


@pytest.mark.parametrize("path", sorted((ROOT / "hpc_sweep").rglob("*.py")), ids=lambda path: path.name)
def test_a_command_that_is_to_be_typed_is_there(path):
    """Advice never names a verb of hpc-sweep that does not exist."""
    assert set(re.findall(r"hpc-sweep ([a-z]+) <this sweep>", path.read_text())) <= set(VERBS)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_says_what_it_tests(path):
    """The docstring of a test states its behaviour in a sentence."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    silent = [node.name for node in functions if node.name.startswith("test") and not ast.get_docstring(node)]

    assert silent == []


def test_the_project_names_no_path_of_a_machine():
    """What is committed speaks of itself alone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    home = f"{ROOT}/"
    texts = [ROOT / name for name in listed if name.endswith((".py", ".md", ".yaml", ".toml", ".sh", ".txt"))]
    wrong = [str(path) for path in texts if path.exists() and home in path.read_text()]

    assert wrong == []
