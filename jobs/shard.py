"""Train one shard by hand, as its array task would: ``python jobs/shard.py <sweep> <intent> --index 0``."""

import sys

from hpc_sweep.shard import main

if __name__ == "__main__":
    sys.exit(main())
