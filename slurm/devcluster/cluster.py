"""Bring a development cluster up, take it down, and say how it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounting import start_accounting, stop_accounting
from errors import DevclusterError
from folder import is_used, locked, make_folder, make_layout, remembered, reserved_ports, write_layout
from layout import LOOPBACK, NODES, Layout
from processes import daemons, end, is_gone, job_processes, named, wait_until
from programs import answers, await_daemon, clean_env, find_program, run, start, tail

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sinfo": "slurm-client"}
ACCOUNTING_PACKAGES = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server"}
READY_STATES = frozenset({"idle", "mixed", "allocated", "completing"})
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
SINFO_SECONDS = 10.0
MISSING_PACKAGE_STATUS = 3


def up(folder: Path, *, accounting: bool = False, port_base: int | None = None) -> Layout:
    """Bring the cluster up: start what does not run, and wait until every node is ready for jobs.

    Raises
    ------
    DevclusterError
        If a program is missing, a daemon dies, or the cluster runs already with other settings.
    """
    _require_programs(accounting=accounting)
    make_folder(folder)
    with locked(folder):
        known = remembered(folder)
        if daemons(folder) and known:
            _require_same(known, accounting=accounting, port_base=port_base)
            _start(known)
            return known
        end(lambda: daemons(folder), STOP_SECONDS)
        with reserved_ports(folder, port_base, known.port_base if known else None) as base:
            layout = make_layout(folder, base, accounting=accounting)
            write_layout(layout)
            _start(layout)
            return layout


def down(folder: Path) -> None:
    """End the cluster's daemons, its jobs, and nothing else; its folder stays, with logs and job records."""
    if not is_used(folder):
        return
    with locked(folder):
        end(lambda: [p for p in daemons(folder) if p.name == "slurmctld" or p.name in NODES], STOP_SECONDS)
        end(lambda: job_processes(folder), STOP_SECONDS, gently=False)
        stop_accounting(folder)


def node_states(folder: Path) -> dict[str, str]:
    """Return Slurm's word for the state of every node; empty while slurmctld does not answer."""
    try:
        listing = run(folder, "sinfo", "--noheader", "--Node", "--format=%N %T", seconds=SINFO_SECONDS)
    except DevclusterError:
        return {}
    return dict(line.split(maxsplit=1) for line in listing.stdout.splitlines())


def is_ready(states: dict[str, str]) -> bool:
    """Return whether every node takes jobs; a star behind a state says that the node does not answer."""
    return all(states.get(node) in READY_STATES for node in NODES)


def expected_daemons(layout: Layout) -> list[str]:
    """Return the names of the daemons that make up the cluster, in the order of their start."""
    return [*(["mariadbd", "slurmdbd"] if layout.accounting else []), "slurmctld", *NODES]


def _require_programs(*, accounting: bool) -> None:
    packages = PACKAGES | ACCOUNTING_PACKAGES if accounting else PACKAGES
    missing = sorted({package for program, package in packages.items() if find_program(program) is None})
    if missing:
        command = f"sudo apt-get install {' '.join(missing)}"
        raise DevclusterError(f"Slurm's programs are missing. Install them: {command}", MISSING_PACKAGE_STATUS)


def _require_same(known: Layout, *, accounting: bool, port_base: int | None) -> None:
    if (accounting and not known.accounting) or port_base not in {None, known.port_base}:
        raise DevclusterError(
            f"The cluster in {known.directory} runs already, {'with' if known.accounting else 'without'} accounting "
            f"from port {known.port_base}.\nTake it down first: devcluster down --dir {known.directory}",
            status=2,
        )


def _start(layout: Layout) -> None:
    """Start every daemon that does not run, and wait for the nodes."""
    directory = layout.directory
    if layout.accounting:
        start_accounting(layout)
    if not named(directory, "slurmctld"):
        _start_slurm(layout, "slurmctld")
    await_daemon(directory, "slurmctld", lambda: answers((LOOPBACK, layout.port_base)))
    for node in NODES:
        if not named(directory, node):
            _start_slurm(layout, "slurmd", "-N", node)
    _await_nodes(layout)


def _start_slurm(layout: Layout, program: str, *words: str) -> None:
    """Start slurmctld or a slurmd; the path of its file must be absolute, or job steps hang."""
    log = layout.directory / f"log/{words[-1] if words else program}.log"
    start([program, "-f", str(layout.conf), *words], log, clean_env(layout.directory))


def _await_nodes(layout: Layout) -> None:
    directory = layout.directory
    wait_until(lambda: _dead(layout) != [] or is_ready(_mended_states(directory)), READY_SECONDS)
    if dead := _dead(layout):
        logs = "\n".join(tail(directory / f"log/{name}.log") for name in dead)
        raise DevclusterError(f"{', '.join(dead)} died while the cluster came up.\n{logs}")
    if not is_ready(states := node_states(directory)):
        raise DevclusterError(
            f"After {READY_SECONDS:.0f} s the nodes are not ready: {states or 'slurmctld gives no answer'}.\n"
            f"{tail(directory / 'log/slurmctld.log')}"
        )


def _dead(layout: Layout) -> list[str]:
    alive = {process.name for process in daemons(layout.directory)}
    missing = [name for name in expected_daemons(layout) if name not in alive]
    return [name for name in missing if is_gone(layout.directory, name)]


def _mended_states(directory: Path) -> dict[str, str]:
    """Return the states of the nodes, after a word to those that a fault left out of service."""
    states = node_states(directory)
    for node, state in states.items():
        if state.startswith(("down", "drain", "fail")) and not state.endswith("*"):
            run(directory, "scontrol", "update", f"nodename={node}", "state=resume")
    return states
