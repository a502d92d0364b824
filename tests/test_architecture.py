"""The house holds: floors, homes of libraries, no cycles, sizes."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("hpc_sweep", "hydra_plugins", "jobs")

FLOORS = {
    **dict.fromkeys(("hpc_sweep.errors", "hpc_sweep.paths"), 0.0),
    "hpc_sweep.records": 0.5,
    **dict.fromkeys(("hpc_sweep.objective", "hpc_sweep.space", "hpc_sweep.trial", "hpc_sweep.identity"), 1.0),
    "hpc_sweep.plan": 2.0,
    "hpc_sweep.ledger": 2.5,
    **dict.fromkeys(("hpc_sweep.search", "hpc_sweep.training", "hpc_sweep.analysis"), 3.0),
    **dict.fromkeys(("hpc_sweep.tasks", "hpc_sweep.runtime", "hpc_sweep.report"), 4.0),
    "hpc_sweep.cluster": 5.0,
    **dict.fromkeys(("hpc_sweep.compose", "hpc_sweep.production", "hpc_sweep.trackers", "hpc_sweep.cli"), 6.0),
    "hpc_sweep.shard": 6.5,
    **dict.fromkeys(("jobs", "hydra_plugins"), 7.0),
}
"""On which floor each room is; a room imports from lower floors, and from itself.

A half is a landing: one module that stands on its neighbours.
"""

HOMES = {
    "torch": ("hpc_sweep.training", "hpc_sweep.tasks"),
    "submitit": ("hpc_sweep.cluster",),
    "pandas": ("hpc_sweep.analysis", "hpc_sweep.report"),
    "optuna": ("hpc_sweep.search", "hpc_sweep.trackers"),
    "hydra": ("hpc_sweep.compose", "jobs", "hydra_plugins"),
}
"""Which rooms may import a library."""

MODULE_LINES, FUNCTION_LINES, MEDIAN_FUNCTION_LINES = 400, 50, 10

DOORS_WITHOUT_TORCH = ("hpc_sweep.cli", "hpc_sweep.compose.launch", "hydra_plugins.hpc_sweep.launcher")


@cache
def modules() -> dict[str, Path]:
    """Return every module of the project by its dotted name."""
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {_name(path): path for path in sorted(files)}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(module: str) -> frozenset[str]:
    """Return what a module imports when it runs, deferred imports included; what only types need is left out."""
    return frozenset(_imports(ast.parse(modules()[module].read_text())))


def _imports(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from (name if name in modules() else child.module for name in names)
        yield from _imports(child)


def room(module: str) -> str:
    """Return the room that a module belongs to."""
    found = [name for name in FLOORS if module == name or module.startswith(f"{name}.")]
    return max(found, key=len, default="")


def functions():
    """Yield every function of the project with its place."""
    for module, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield module, node


def lines_of(node) -> int:
    """Count the lines of a function without its docstring."""
    docstring = node.body[0] if ast.get_docstring(node) is not None else None
    without = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    return node.end_lineno - node.lineno + 1 - without


def test_every_module_has_a_floor():
    """A module outside of the rooms has no place in the house."""
    homeless = [module for module in modules() if not room(module) and module not in {"hpc_sweep", "hydra_plugins"}]

    assert homeless == []


def test_a_room_imports_only_from_lower_floors():
    """A room knows the rooms below it, and its own folder."""
    wrong = [
        f"{module} (floor {FLOORS[room(module)]}) imports {imported} (floor {FLOORS[room(imported)]})"
        for module in modules()
        if room(module)
        for imported in imports(module)
        if room(imported) and room(imported) != room(module) and FLOORS[room(imported)] >= FLOORS[room(module)]
    ]

    assert "\n".join(wrong) == ""


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_in_its_home_only(library):
    """Each heavy library has one home."""
    users = [module for module in modules() if any(name.split(".")[0] == library for name in imports(module))]
    strangers = [module for module in users if not module.startswith(HOMES[library])]

    assert strangers == []


def test_no_import_cycle():
    """Modules import each other in one direction."""
    done: set[str] = set()

    def visit(module, path):
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for imported in imports(module) & modules().keys():
                visit(imported, [*path, module])
            done.add(module)

    for module in modules():
        visit(module, [])


def test_modules_are_read_at_one_sitting():
    """No module is longer than 400 lines."""
    long = {module: n for module, path in modules().items() if (n := len(path.read_text().splitlines())) > MODULE_LINES}

    assert long == {}


def test_functions_are_read_in_one_breath():
    """No function is longer than 50 lines, and half of them are not longer than 10."""
    sizes = {f"{module}:{node.lineno} {node.name}": lines_of(node) for module, node in functions()}
    long = {name: size for name, size in sizes.items() if size > FUNCTION_LINES}

    assert long == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= MEDIAN_FUNCTION_LINES


@pytest.mark.parametrize("door", DOORS_WITHOUT_TORCH)
def test_a_login_node_never_imports_torch(door, run_python):
    """Submitting, status and collecting start without torch."""
    done = run_python("-c", f"import sys, {door}; print('torch' in sys.modules)")

    assert done.stdout.strip() == "False", done.stderr


def test_hydra_programs_import_nothing_heavy_from_the_plugins(run_python):
    """Plugin discovery, which runs in every Hydra program, imports neither submitit nor pandas nor torch."""
    code = (
        "import sys; from hydra.core.plugins import Plugins; Plugins.instance();"
        "print(sorted({'torch', 'submitit', 'pandas', 'altair'} & set(sys.modules)))"
    )

    assert run_python("-c", code).stdout.strip() == "[]"


def test_python_is_recent_enough():
    """The project's own floor is 3.11."""
    assert sys.version_info >= (3, 11)
