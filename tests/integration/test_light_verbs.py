"""What is typed often on a login node answers without the libraries of the report."""

import json
import shutil

import pytest
from click.testing import CliRunner

from hpc_sweep.cli import VERBS, main
from tests.integration.sweeping import App, copied, planned

HEAVY = {"pandas", "scipy", "altair", "vl_convert", "matplotlib", "torch", "IPython"}
LOADED = """
import json, sys
from hpc_sweep.cli import main
try:
    main(prog_name="hpc-sweep")
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the app and a sweep of four trials in two shards that ran here."""
    folder = tmp_path_factory.mktemp("light")
    app = App.write(folder / "app").with_notes(folder / "notes")
    local = ("hydra/launcher=sharded_local", "hydra.launcher.n_jobs=1", "hydra.launcher.shards=2")
    app.sweep(folder / "sweep", *local, "hydra.launcher.objective.mode=max", "x=1,2,3,4", check=True)
    return app, folder / "sweep"


def typed(app, *arguments):
    """Type a command; return what it did and the libraries that it had loaded at its end."""
    done = app.python("-c", LOADED, *arguments)
    return done, set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("verb", "more", "answer"),
    [
        ("status", (), "4 trials planned: 4 completed"),
        ("status", ("--json",), '"completed":4'),
        ("logs", ("2",), "x is 2"),
        ("cancel", (), "Cancelled."),
    ],
)
def test_a_light_verb_loads_nothing_heavy(finished, tmp_path, verb, more, answer):
    """Status, logs and cancel answer about a finished sweep without pandas, scipy or a drawing library."""
    app, root = finished
    done, loaded = typed(app, verb, copied(root, tmp_path / "copy"), *more)

    assert answer in done.stdout
    assert done.returncode == 0
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_options_of_the_command_load_no_verb(finished, option):
    """Help lists all verbs, and the version is told, without any module that a verb needs."""
    done, loaded = typed(finished[0], option)

    assert done.returncode == 0
    assert loaded & (HEAVY | {"submitit", "numpy", "yaml"}) == set()
    assert option == "--version" or all(f"\n  {verb} " in done.stdout for verb in VERBS)


def test_resuming_a_finished_sweep_loads_what_it_collects_with(finished, tmp_path):
    """Only because nothing is left to train here does resume load the report: it collects then."""
    app, root = finished
    copy = copied(root, tmp_path / "copy")
    shutil.rmtree(copy / "decision")
    done, loaded = typed(app, "resume", copy)

    assert done.stdout.startswith("Nothing is left to train.\n")
    assert (copy / "decision" / "decision.json").exists()
    assert {"pandas", "altair"} <= loaded


def test_the_module_of_resume_loads_nothing_heavy(finished):
    """A refusal by resume, as of a folder that is no sweep, costs no library of the report."""
    app, root = finished
    done, loaded = typed(app, "resume", root.parent)

    assert done.returncode == 2
    assert "This folder is no sweep" in done.stderr
    assert loaded & HEAVY == set()


@pytest.mark.slurm
@pytest.mark.xdist_group("slurm")
def test_submitting_by_resume_loads_nothing_heavy(devcluster, tmp_path):
    """A sweep that was planned while Slurm was away is submitted without the libraries of the report."""
    app = App.write(tmp_path / "app", devcluster.env).with_notes(tmp_path / "notes")
    root = planned(app, tmp_path / "sweep", "x=1")
    done, loaded = typed(app, "resume", root)
    app.verb("cancel", root, check=True)

    assert done.stdout.startswith("Submitted 1 shards"), done.stderr
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("name", VERBS)
def test_the_list_of_verbs_says_what_the_verbs_say(name):
    """The line of a verb in the list is the first sentence of its own help."""
    shown = CliRunner().invoke(main, [name, "--help"]).output

    assert VERBS[name].help in " ".join(shown.split())


def test_an_unknown_verb_is_refused():
    """A word that is no verb ends with click's sentence and exit status 2."""
    refused = CliRunner().invoke(main, ["nothing"])

    assert refused.exit_code == 2
    assert "No such command 'nothing'" in refused.output
