"""``python -m hpc_sweep.cli`` is ``hpc-sweep``."""

from __future__ import annotations

from hpc_sweep.cli import main

if __name__ == "__main__":
    main()
