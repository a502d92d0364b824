"""The state folder: where it is, whether it is ours, what it remembers, and the ports that it reserves."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import socket
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from errors import DevclusterError
from layout import LOOPBACK, PORTS, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

SUBFOLDERS = ("log", "run", "state", "spool")
LOCK = "lock"
MAX_PATH = 64  # slurmstepd's socket, <folder>/spool/<node>/<node>_<job>.<step>, must fit into 107 bytes
FIRST_PORT, LAST_PORT = 10_000, 32_000  # below the ports that Linux gives to outgoing connections
PORT_STRIDE = 10


def default_folder() -> Path:
    """Return the folder of this user's cluster when none is named."""
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR")):
        if parent and Path(parent).is_dir() and os.access(parent, os.W_OK | os.X_OK) and _runs_programs(Path(parent)):
            break
    else:
        parent = "/tmp"  # noqa: S108 - the folder inside is 0700 and must be ours
    return Path(parent) / f"hpc-sweep-devcluster-{os.getuid()}"


def resolve_folder(named: str | None) -> Path:
    """Return the absolute folder; its name must be one that Slurm's configuration files can hold.

    Raises
    ------
    DevclusterError
        If it is too long or has characters that end a value there.
    """
    folder = (Path(named) if named else default_folder()).resolve()
    if len(str(folder)) > MAX_PATH or not re.fullmatch(r"[A-Za-z0-9_./+@-]+", str(folder)):
        raise DevclusterError(
            f"The folder {folder} cannot hold a cluster: at most {MAX_PATH} characters, of letters, digits and "
            "_ . / + @ - (sockets lie inside, and slurm.conf names it).\nName another: devcluster up --dir /tmp/dc",
            status=2,
        )
    return folder


def make_folder(folder: Path) -> None:
    """Make the folder and its subfolders, readable by us alone.

    Raises
    ------
    DevclusterError
        If it is another user's, others may write into it, it holds something else, or programs cannot run there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise _refusal(folder, "belongs to another user, or others may write into it")
    if not is_used(folder) and any(folder.iterdir()):
        raise _refusal(folder, "has other files in it")
    if not _runs_programs(folder):
        raise _refusal(folder, "lies on a file system that runs no programs (noexec), and batch scripts lie inside")
    (folder / LOCK).touch(mode=0o600)
    for name in SUBFOLDERS:
        (folder / name).mkdir(mode=0o700, exist_ok=True)


def is_used(folder: Path) -> bool:
    """Return whether a cluster was ever brought up in the folder."""
    return (folder / LOCK).exists()


def _runs_programs(folder: Path) -> bool:
    return not os.statvfs(folder).f_flag & os.ST_NOEXEC


def _refusal(folder: Path, why: str) -> DevclusterError:
    return DevclusterError(f"The folder {folder} {why}.\nName another: devcluster up --dir /tmp/dc", status=2)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one `up` or `down` at a time work on the folder."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remembered(folder: Path) -> Layout | None:
    """Return the cluster that was last brought up here."""
    record = folder / "devcluster.json"
    if not record.exists():
        return None
    known = json.loads(record.read_text())
    return make_layout(folder, known["port_base"], accounting=known["accounting"])


def make_layout(folder: Path, port_base: int, *, accounting: bool) -> Layout:
    """Return the layout for this machine and user."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise DevclusterError(f"User id {os.getuid()} has no name in /etc/passwd, and Slurm needs one.") from None
    return Layout(
        directory=folder,
        port_base=port_base,
        host=socket.gethostname().partition(".")[0],
        user=user,
        accounting=accounting,
        loopback_only=_host_addresses() == {LOOPBACK},
        gpu_devices=tuple(sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))),
    )


def write_layout(layout: Layout) -> None:
    """Write the configuration files, and the record that `remembered` reads; each whole or not at all."""
    record = {"port_base": layout.port_base, "accounting": layout.accounting}
    for name, text in {**layout.files(), "devcluster.json": json.dumps(record) + "\n"}.items():
        beside = layout.directory / f".{name}.new"
        beside.unlink(missing_ok=True)
        beside.touch(mode=0o600)
        beside.write_text(text)
        beside.rename(layout.directory / name)


@contextmanager
def reserved_ports(folder: Path, wanted: int | None, remembered_base: int | None) -> Iterator[int]:
    """Give the first port of a free range, kept from other devclusters until the daemons listen.

    A wanted range must be free; the remembered one is preferred; else the folder's name picks where to look.
    """
    count = (LAST_PORT - FIRST_PORT) // PORT_STRIDE
    start = zlib.crc32(str(folder).encode()) % count
    anywhere = [FIRST_PORT + (start + i) % count * PORT_STRIDE for i in range(count)]
    candidates = [wanted] if wanted else [remembered_base, *anywhere] if remembered_base else anywhere
    for base in candidates:
        claim = _claim(base)
        if claim is None:
            continue
        with claim:
            yield base
        return
    raise DevclusterError(
        f"Ports {candidates[0]} to {candidates[0] + PORTS - 1} are not free.\n"
        "Leave --port-base away, and devcluster finds a free range.",
    )


def _claim(base: int) -> socket.socket | None:
    """Return a claim on the range, or None when it is in use; a claim ends with its process."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0hpc-sweep-devcluster-{base}")
        for port in range(base, base + PORTS):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        return None
    return claim


def _host_addresses() -> set[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    except socket.gaierror:
        return set()
    return {str(entry[4][0]) for entry in found}
