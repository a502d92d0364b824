"""The long run of a sweep's winner; the same command resumes it.

usage:    python jobs/production.py sweep=<dir> [key=value ...]
example:  python jobs/production.py sweep=outputs/task11/2026-01-02T10-00-00Z epochs=50

sweep=<dir>   the folder of a collected sweep (required)
epochs=50     how long to train
key=value     any other single value of the winning configuration, for example device=cuda or seed=7
"""

import sys

from hpc_sweep import paths, production
from hpc_sweep.compose import here, values


def main() -> None:
    """Train the winner that the command line names, and print its report."""
    if {"-h", "--help"} & set(sys.argv) or len(sys.argv) == 1:
        print(__doc__)  # noqa: T201 because the help was asked for
        return
    folder, change = values.sweep_and_changes(sys.argv[1:])
    job = production.plan(paths.Sweep(folder.resolve()), change)
    production.run(job, threads=here.threads())
    print(job.report.read_text(encoding="utf-8"))  # noqa: T201 because a person waits for it


if __name__ == "__main__":
    sys.exit(here.run(main))
