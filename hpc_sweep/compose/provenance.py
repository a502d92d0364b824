"""Which code and which libraries a sweep runs: digests and versions, never the environment."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SUFFIXES = (".py", ".yaml", ".json", ".toml")
PACKAGES = ("hpc-sweep", "hydra-core", "omegaconf", "submitit", "torch", "numpy")


def code(root: Path) -> dict[str, Any]:
    """Return the commit of a code root and the digest of its source files as they are on disk now."""
    top = _git(root, "rev-parse", "--show-toplevel")
    folder = Path(top) if top else root
    files = sorted(folder / name for name in _listed(folder) if name.endswith(SUFFIXES))
    content = hashlib.sha256()
    for file in files:
        if file.is_file():
            content.update(f"{file.relative_to(folder)}\0".encode("utf-8", "surrogateescape"))
            content.update(hashlib.sha256(file.read_bytes()).digest())
    status = _git(folder, "status", "--porcelain", "--untracked-files=no") if top else ""
    return {
        "commit": _git(folder, "rev-parse", "HEAD") if top else "",
        "dirty": bool(status),
        "sha256": content.hexdigest(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that can change a result."""
    return {"python": platform.python_version()} | {name: found for name in PACKAGES if (found := _version(name))}


def _listed(folder: Path) -> list[str]:
    """List what git tracks; outside of a repository, the files that lie in the folder itself."""
    listed = _git(folder, "ls-files", "-z")
    return listed.split("\0") if listed else [path.name for path in folder.iterdir()]


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
