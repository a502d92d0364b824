"""Accounting for the cluster: a private MariaDB, slurmdbd above it, and what they must know before jobs run."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from errors import DevclusterError
from layout import LOOPBACK
from processes import end, named
from programs import answers, await_daemon, clean_env, run, start, tail

if TYPE_CHECKING:
    from pathlib import Path

    from layout import Layout

STOP_SECONDS = 30.0
CLUSTER = "devcluster"
LIMITED_QOS = "few"
LOG = "log/slurmdbd.log"


def start_accounting(layout: Layout) -> None:
    """Start what is not running; register the cluster, an account, the user, and a QOS with a submit limit."""
    directory = layout.directory
    if not named(directory, "mariadbd"):
        _start_mariadb(layout)
    if not named(directory, "slurmdbd"):
        env = clean_env(directory, MYSQL_UNIX_PORT=f"{directory}/mariadb.sock")
        start(["slurmdbd"], directory / LOG, env)
    await_daemon(directory, "slurmdbd", lambda: answers((LOOPBACK, layout.dbd_port)))
    _register(layout)


def stop_accounting(directory: Path) -> None:
    """End slurmdbd, then the database below it."""
    end(lambda: named(directory, "slurmdbd"), STOP_SECONDS)
    end(lambda: named(directory, "mariadbd"), STOP_SECONDS)


def _start_mariadb(layout: Layout) -> None:
    directory = layout.directory
    if not (directory / "mysql").exists():
        _make_database(layout)
    socket_file = directory / "mariadb.sock"
    socket_file.unlink(missing_ok=True)
    start(_mariadb("mariadbd", layout), directory / "log/mariadbd.log", clean_env(directory), stays=True)
    await_daemon(directory, "mariadbd", lambda: answers(str(socket_file)))


def _make_database(layout: Layout) -> None:
    """Make the database's files, whole or not at all."""
    directory = layout.directory
    unfinished = directory / "mysql.new"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    access = ["--auth-root-authentication-method=socket", f"--auth-root-socket-user={layout.user}"]
    argv = [*_mariadb("mariadb-install-db", layout), *access, "--skip-test-db", f"--datadir={unfinished}"]
    start(argv, directory / "log/mariadb-install-db.log", clean_env(directory))
    unfinished.rename(directory / "mysql")


def _mariadb(program: str, layout: Layout) -> list[str]:
    argv = [program, f"--defaults-file={layout.directory}/mariadb.cnf"]
    return [*argv, "--user=root"] if os.getuid() == 0 else argv  # root is refused unless it is named


def _register(layout: Layout) -> None:
    """Tell slurmdbd about cluster, account, user and the limited QOS; once.

    Raises
    ------
    DevclusterError
        If the user is still unknown after it.
    """
    directory, user = layout.directory, layout.user
    if _is_registered(layout):
        return
    changes = "".join(
        f"{change}\n"
        for change in (
            f"add cluster {CLUSTER}",
            f"add qos {LIMITED_QOS} set MaxSubmitJobsPerUser=5",
            f"add account {CLUSTER} Cluster={CLUSTER}",
            f"add user {user} Account={CLUSTER} Cluster={CLUSTER}",
            f"modify user {user} set QOS=normal,{LIMITED_QOS} DefaultQOS=normal DefaultAccount={CLUSTER}",
        )
    )
    done = run(directory, "sacctmgr", "--immediate", stdin=changes)
    if not _is_registered(layout):
        words = f"{done.stdout}{done.stderr}{tail(directory / LOG)}"
        raise DevclusterError(f"slurmdbd did not take the registration of {user}:\n{words}")


def _is_registered(layout: Layout) -> bool:
    """Return whether the last of the changes of `_register` is in the database."""
    query = ("show", "association", "where", f"user={layout.user}", f"account={CLUSTER}", "format=qos")
    return LIMITED_QOS in run(layout.directory, "sacctmgr", "--noheader", "--parsable2", *query).stdout
