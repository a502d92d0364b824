"""Slurm's programs: where they are, what environment they get, start a daemon and wait for it, run a client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

from errors import DevclusterError
from processes import is_gone, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS = 60.0
LOG_LINES = 15


def clean_env(directory: Path, **more: str) -> dict[str, str]:
    """Return the environment of daemons and clients: nothing of the caller's but home and time zone."""
    kept = {key: os.environ[key] for key in ("HOME", "TZ") if key in os.environ}
    return {"PATH": PATH, "LANG": "C.UTF-8", "SLURM_CONF": f"{directory}/slurm.conf", **kept, **more}


def find_program(name: str) -> str | None:
    """Return the path of a program, also from the sbin folders that an ordinary user's PATH lacks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATH}")


def start(argv: Sequence[str], log: Path, env: Mapping[str, str], *, stays: bool = False) -> None:
    """Start a daemon that puts itself into the background, or one that ``stays`` in the foreground.

    Raises
    ------
    DevclusterError
        If it refuses to start; with the end of ``log``, which also takes its first words.
    """
    program = find_program(argv[0]) or argv[0]
    with log.open("ab") as words:
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env=dict(env),
            cwd=log.parent,
            start_new_session=True,
        )
    if stays:
        process.returncode = 0  # it outlives us: the handle has no more to say
    elif process.wait() != 0:
        raise DevclusterError(f"{argv[0]} refused to start (exit status {process.returncode}).\n{tail(log)}")


def run(directory: Path, *argv: str, stdin: str = "", seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run a client command of Slurm against the cluster.

    Raises
    ------
    DevclusterError
        If it has not ended after ``seconds``.
    """
    command = [find_program(argv[0]) or argv[0], *argv[1:]]
    env = clean_env(directory)
    try:
        return subprocess.run(
            command, env=env, input=stdin, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise DevclusterError(
            f"{argv[0]} did not answer in {seconds:.0f} s; the logs are in {directory}/log."
        ) from error


def answers(address: tuple[str, int] | str) -> bool:
    """Return whether a TCP port or a socket file accepts a connection."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        return client.connect_ex(address) == 0


def await_daemon(directory: Path, name: str, ready: Callable[[], bool]) -> None:
    """Wait until a daemon is ready.

    Raises
    ------
    DevclusterError
        If it died or is not ready in time; with the end of its log.
    """
    if not wait_until(lambda: ready() or is_gone(directory, name), START_SECONDS) or is_gone(directory, name):
        raise DevclusterError(f"{name} does not answer.\n{tail(directory / f'log/{name}.log')}")


def tail(log: Path) -> str:
    """Return the last lines of a log under its name."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:] if log.exists() else ["(no log)"]
    return "\n".join([f"The end of {log}:", *(f"  {line}" for line in lines)])
