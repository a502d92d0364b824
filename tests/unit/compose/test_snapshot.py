"""The code that shards run: copied once, found by its digest, whatever happens to the original."""

import subprocess

import pytest

from hpc_sweep import paths
from hpc_sweep.compose import snapshot
from hpc_sweep.errors import UserError


@pytest.fixture
def repository(tmp_path):
    """Return a git repository with sources, data, and what git ignores."""
    top = tmp_path / "repo"
    for name, text in {
        "pkg/__init__.py": "",
        "pkg/deep/model.py": "SIZE = 1\n",
        "pkg/deep/table.npz": "data",
        "conf/app.yaml": "x: 1\n",
        "train.py": "import pkg\n",
        "notes.txt": "text",
        ".gitignore": "*.log\n_version.py\noutputs/\n",
        "pkg/_version.py": "V = 1\n",
        "outputs/old/run.py": "old",
        "run.log": "log",
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    run = ["git", "-C", top, "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*run, "init", "-q"], check=True)
    subprocess.run([*run, "add", "."], check=True)
    subprocess.run([*run, "commit", "-qm", "x"], check=True)
    (top / "pkg" / "new.py").write_text("NEW = 1\n")
    return top


@pytest.fixture
def sweep(repository):
    """Return a sweep in the repository's folder of outputs."""
    (repository / "outputs" / "s").mkdir()
    return paths.Sweep(repository / "outputs" / "s")


def own(found, repository):
    (root,) = [root for root in found if root.folder == str(repository)]
    return root


def test_sources_are_copied_and_the_rest_is_linked(repository, sweep):
    """Tracked sources and new modules are copies; data and generated files are links; outputs are neither."""
    root = own(snapshot.roots(repository, sweep), repository)
    snapshot.freeze(sweep, [root])
    copy = sweep.code / root.sha256

    copies = {str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_file() and not p.is_symlink()}
    links = {str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_symlink()}
    assert copies == {"pkg/__init__.py", "pkg/deep/model.py", "pkg/new.py", "conf/app.yaml", "train.py"}
    assert links == {"pkg/deep/table.npz", "pkg/_version.py", "notes.txt", "run.log"}


def test_the_digest_follows_the_content_and_a_copy_is_made_once(repository, sweep):
    """The same code has the same name; an edit has another; ignored files change nothing."""
    first = own(snapshot.roots(repository, sweep), repository)
    snapshot.freeze(sweep, [first])
    (repository / "run.log").write_text("other")
    same = own(snapshot.roots(repository, sweep), repository)
    snapshot.freeze(sweep, [same])
    (repository / "pkg" / "deep" / "model.py").write_text("SIZE = 2\n")
    other = own(snapshot.roots(repository, sweep), repository)

    assert first.sha256 == same.sha256 != other.sha256
    assert len([p for p in sweep.code.iterdir() if p.is_dir()]) == 1
    assert snapshot.changed_files(sweep, {repository.name: first.sha256}, [other]) == ["pkg/deep/model.py"]


def test_a_copy_that_was_touched_holds_the_shard(repository, sweep):
    """Whoever edits the snapshot has not edited the sweep."""
    root = own(snapshot.roots(repository, sweep), repository)
    snapshot.freeze(sweep, [root])
    snapshot.refuse_changed(sweep, [vars(root)])
    (sweep.code / root.sha256 / "train.py").write_text("print('evil')\n")

    with pytest.raises(UserError, match="was changed after the sweep was submitted"):
        snapshot.refuse_changed(sweep, [vars(root)])


@pytest.mark.parametrize("why", ["compiled", "many"])
def test_what_cannot_be_copied_is_compared(repository, sweep, why, monkeypatch):
    """Compiled modules and large roots stay where they are; an edit holds the shard, with the two ways out."""
    if why == "compiled":
        (repository / "pkg" / "fast.so").write_text("")
    else:
        monkeypatch.setattr(snapshot, "MAX_FILES", 3)
    root = own(snapshot.roots(repository, sweep), repository)
    snapshot.freeze(sweep, [root])
    snapshot.refuse_changed(sweep, [vars(root)])
    assert not root.copied
    (repository / "train.py").write_text("import pkg, os\n")

    with pytest.raises(UserError) as refused:
        snapshot.refuse_changed(sweep, [vars(root)])
    assert "Restore the code" in str(refused.value)
    assert "--allow-code-change" in str(refused.value)


def test_a_script_outside_of_git_has_its_folder_and_packages(tmp_path):
    """Folders without modules beside it are none of its code."""
    for name in ("app.py", "lib/__init__.py", "lib/sub/a.py", "results/2026/b.py", "table.json"):
        (tmp_path / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / name).write_text("")
    sweep = paths.Sweep(tmp_path / "s")
    root = own(snapshot.roots(tmp_path / "app", sweep), tmp_path / "app")
    snapshot.freeze(sweep, [root])
    copy = sweep.code / root.sha256

    copies = {str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_file() and not p.is_symlink()}
    assert copies == {"app.py", "lib/__init__.py", "lib/sub/a.py", "table.json"}


def test_the_module_path_is_relative_to_the_sweep_where_it_can_be(repository, sweep, monkeypatch):
    """So the folder may move; entries that are no code root stay as they are."""
    monkeypatch.syspath_prepend(str(repository / "pkg"))
    monkeypatch.syspath_prepend("/usr/share")
    root = own(snapshot.roots(repository, sweep), repository)
    path = snapshot.freeze(sweep, [root])

    assert path[:2] == ("/usr/share", f"code/{root.sha256}/pkg")
    assert f"code/{root.sha256}" in path
