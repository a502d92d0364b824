"""The first thing that a job of a sweep runs: it finds the sweep's own code and starts from there.

A copy of this file lies in every sweep, because the installed one may be edited while jobs wait. So it imports the
standard library only, and its arguments are those of the shard: ``python -P start.py <sweep> <intent> [--index N]``.
"""

import json
import os
import runpy
import sys
from pathlib import Path

MODULES = {"array": "hpc_sweep.shard", "steward": "hpc_sweep.cluster.steward"}


def main() -> None:
    """Put the code of an intent before everything else on the module path, and run the module of its role."""
    sweep, number = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    place = sweep / "submissions" / f"{number:06d}.json"
    text = (place / "entry.json" if place.is_dir() else place).read_text("utf-8", "surrogatepass")
    entry = json.loads(text.split("\n", 1)[0])
    intent = entry["body"]
    path = [str(sweep / folder) for folder in intent["python_path"]]
    sys.path[:0] = path
    # For the processes that a trial starts; a folder with a colon in its name cannot be said there.
    inherited = [folder for folder in path if os.pathsep not in folder]
    os.environ["PYTHONPATH"] = os.pathsep.join([*inherited, *filter(None, [os.environ.get("PYTHONPATH")])])
    runpy.run_module(MODULES[intent["role"]], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
