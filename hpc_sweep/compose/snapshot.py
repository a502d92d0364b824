"""The code that shards run: copied into the sweep at submit, so that edits while jobs wait change nothing.

A *code root* is the git top level or the folder of the app's script, and every editable install. Its sources are the
files that git lists; what else lies beside them (data, generated files) is linked to where it was. A root that cannot
be copied, because it has compiled modules or too many files, stays where it is and is compared at a shard's start.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from hpc_sweep import records
from hpc_sweep.cluster import start
from hpc_sweep.cluster.reasons import command
from hpc_sweep.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hpc_sweep import paths

SUFFIXES = (".py", ".yaml", ".json", ".toml")
MAX_FILES, MAX_BYTES = 2_000, 20 * 2**20
COMPILED = (".so", ".pyd", ".dylib")


@dataclass(frozen=True)
class Root:
    """One code root as it was at submit.

    ``copied`` says that the sweep has a copy, named by the digest; ``only`` are the packages that count, all if empty.
    """

    folder: str
    sha256: str
    copied: bool
    only: Sequence[str] = ()

    def differs(self) -> list[str]:
        """Return what tells the root of now from the root at submit; nothing when it is copied or the same."""
        if self.copied or _sha256(self.contents()) == self.sha256:
            return []
        return [f"{self.folder} is not what it was when the sweep was submitted"]

    def contents(self, sweep: Path | None = None) -> dict[str, bytes]:
        """Return the sources as they are now, by name; what lies in a sweep is none."""
        return _contents(Path(self.folder), sweep, self.only)


def roots(script: Path, sweep: paths.Sweep) -> list[Root]:
    """Return the code roots of an app whose script lies in the folder ``script``, digested but not copied yet."""
    return [_root(folder, only, sweep.root) for folder, only in _folders(script).items()]


def freeze(sweep: paths.Sweep, found: Sequence[Root]) -> tuple[str, ...]:
    """Copy the roots into the sweep, once, and return the module path of its jobs.

    Its entries are where this process finds modules outside of its environment; those within a copy are relative to
    the sweep.
    """
    for root in found:
        if root.copied and not (sweep.code / root.sha256).exists():
            _copy(sweep, root)
    if not sweep.start.exists():
        records.publish(sweep.start, Path(start.__file__).read_text(encoding="utf-8"))
        records.publish(sweep.code / ".gitignore", "*\n")
    entries = [*_own_path(), *(folder for root in found for folder in _import_folders(Path(root.folder)))]
    return tuple(dict.fromkeys(_within(sweep, found, Path(entry)) for entry in entries))


def refuse_changed(sweep: paths.Sweep, found: Iterable[Mapping[str, Any]]) -> None:
    """Refuse to run a shard whose code is not that of its submission, with the two ways out."""
    wrong: list[str] = []
    for root in (Root(**fields) for fields in found):
        copy = sweep.code / root.sha256
        if root.copied and _sha256(_contents_of(copy, _sources(copy))) != root.sha256:
            wrong.append(f"{copy} was changed after the sweep was submitted")
        wrong += root.differs()
    if wrong:
        again = command("resume", sweep.root)
        raise UserError(
            f"The code of this shard is not the code of its sweep: {'; '.join(wrong)}.",
            where=f"Sweep: {sweep.root}",
            next_step=f"Restore the code and type {again}, or accept the code of now: {again} --allow-code-change",
        )


def describe(found: Sequence[Root]) -> dict[str, Any]:
    """Return what `sweep.json` says of the code: the commit of the app, and one digest of all roots."""
    folder = Path(found[0].folder) if found else Path.cwd()
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    names = {Path(root.folder).name: root.sha256 for root in found}
    return {
        "commit": _git(folder, "rev-parse", "HEAD"),
        "dirty": bool(status),
        "sha256": digest(names.values()),
        "roots": names,
    }


def digest(roots: Iterable[str]) -> str:
    """Return one digest for the digests of some code roots."""
    return records.digest(sorted(roots))


def changed_files(sweep: paths.Sweep, known: Mapping[str, str], found: Sequence[Root]) -> list[str]:
    """Return the files that differ between the sweep's copies and the roots of now, where there are copies."""
    names: list[str] = []
    for root in found:
        copy = sweep.code / known.get(Path(root.folder).name, "none")
        if copy.is_dir():
            before, now = _contents_of(copy, _sources(copy)), root.contents(sweep.root)
            names += sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return names


def _folders(script: Path) -> dict[Path, tuple[str, ...]]:
    """Return the app's root and the editable installs with their packages, without those that lie in another one."""
    top = _git(script, "rev-parse", "--show-toplevel")
    app = Path(top or script).resolve()
    installs = {folder.resolve(): only for folder, only in _editable()}
    ordered: dict[Path, tuple[str, ...]] = {app: (), **{one: only for one, only in installs.items() if one != app}}
    return {
        one: only
        for one, only in ordered.items()
        if not in_environment(one) and not any(one != other and one.is_relative_to(other) for other in ordered)
    }


def _root(folder: Path, only: tuple[str, ...], sweep: Path) -> Root:
    contents = _contents(folder, sweep, only)
    large = len(contents) > MAX_FILES or sum(map(len, contents.values())) > MAX_BYTES
    compiled = any(path.suffix in COMPILED for name in _packages(contents) for path in (folder / name).iterdir())
    return Root(str(folder), _sha256(contents), bool(contents) and not large and not compiled, only)


def _contents(folder: Path, sweep: Path | None, only: Sequence[str]) -> dict[str, bytes]:
    names = [name for name in _listed(folder) if sweep is None or not (folder / name).is_relative_to(sweep)]
    # An install's tests and documents are none of the code that a shard can run.
    wanted = tuple(f"{above}{package}{end}" for above in ("", "src/") for package in only for end in ("/", ".py"))
    return _contents_of(folder, (name for name in names if not only or name.startswith(wanted)))


def _contents_of(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in sorted(set(names)) if (folder / name).is_file()}


def _sha256(contents: Mapping[str, bytes]) -> str:
    content = hashlib.sha256()
    for name, data in contents.items():
        content.update(f"{name}\0".encode("utf-8", "surrogateescape"))
        content.update(hashlib.sha256(data).digest())
    return content.hexdigest()


def _listed(folder: Path) -> list[str]:
    """List the sources that git tracks, and the modules that it would; without git, those of the folder's packages."""
    if not _git(folder, "rev-parse", "--show-toplevel"):
        return list(_package_files(folder))
    tracked = _git(folder, "ls-files", "-z", "--", *(f"*{suffix}" for suffix in SUFFIXES)).split("\0")
    new = _git(folder, "ls-files", "-z", "--others", "--exclude-standard", "--", "*.py").split("\0")
    return [name for name in (*tracked, *new) if name]


def _package_files(top: Path, below: str = "") -> Iterator[str]:
    for path in sorted((top / below).iterdir()):
        name = f"{below}{path.name}"
        if path.suffix in SUFFIXES and path.is_file():
            yield name
        elif path.is_dir() and not path.name.startswith((".", "__")) and any(path.glob("*.py")):
            yield from _package_files(top, f"{name}/")


def _sources(copy: Path) -> list[str]:
    """List what was copied into a snapshot; all that is a link in it was not."""
    found = []
    for folder, folders, files in os.walk(copy):
        folders[:] = [name for name in folders if name != "__pycache__"]
        paths = [Path(folder, name) for name in files]
        found += [str(path.relative_to(copy)) for path in paths if not path.is_symlink() and path.suffix in SUFFIXES]
    return found


def _packages(contents: Iterable[str]) -> set[str]:
    return {os.path.dirname(name) for name in contents if name.endswith(".py")}  # noqa: PTH120 because names are text


def _copy(sweep: paths.Sweep, root: Root) -> None:
    folder, beside = Path(root.folder), sweep.code / f".{uuid.uuid4().hex}"
    contents = root.contents(sweep.root)
    if _sha256(contents) != root.sha256:
        raise UserError("The code was edited while it was copied.", where=f"Folder: {folder}", next_step="Try again.")
    for name, data in contents.items():
        (beside / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (beside / name).write_bytes(data)
    _link_the_rest(folder, beside, sweep.root)
    try:
        beside.rename(sweep.code / root.sha256)
    except OSError:  # another submitter made the same copy
        shutil.rmtree(beside)
    records.sync_folder(sweep.code)


def _link_the_rest(folder: Path, copy: Path, sweep: Path) -> None:
    """Link what lies beside the sources: data that a module opens by its own place, files that git ignores."""
    for below, _, _ in list(os.walk(copy)):
        here = folder / Path(below).relative_to(copy)
        for path in here.iterdir():
            target = Path(below, path.name)
            hidden = path.name.startswith((".", "__pycache__")) or path.suffix == ".egg-info"
            if not hidden and not target.exists() and not sweep.is_relative_to(path) and not _is_environment(path):
                target.symlink_to(path)


def _own_path() -> list[str]:
    """Return where this process finds modules outside of its environment: the app's own folders."""
    folders = [Path(entry or os.curdir).resolve() for entry in sys.path]
    return [str(folder) for folder in folders if not in_environment(folder) and folder.is_dir()]


def _import_folders(root: Path) -> list[str]:
    return [str(folder) for folder in (root / "src", root) if folder.is_dir()]


def _within(sweep: paths.Sweep, found: Iterable[Root], entry: Path) -> str:
    """Return an entry of the module path as the sweep's jobs have it."""
    for root in found:
        if root.copied and entry.is_relative_to(root.folder):
            place = sweep.code / root.sha256 / entry.relative_to(root.folder)
            if place.is_dir():
                return str(place.relative_to(sweep.root))
    return str(entry)


def _editable() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the folder of every editable install, and the packages that it says it has."""
    # Of two installs of one name the first is the one that is imported.
    first = {installed.name: installed for installed in reversed(list(distributions()))}
    for installed in first.values():
        said = json.loads(installed.read_text("direct_url.json") or "{}")
        if said.get("dir_info", {}).get("editable"):
            folder = Path(unquote(urlsplit(said["url"]).path))
            if folder.is_dir():
                yield folder, tuple((installed.read_text("top_level.txt") or "").split())


def in_environment(folder: Path) -> bool:
    """Tell whether a folder belongs to an environment: it is recorded by versions, and not copied."""
    return any(folder.is_relative_to(prefix) for prefix in (sys.prefix, sys.base_prefix)) or (
        "site-packages" in folder.parts
    )


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists()


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return ""
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else ""
