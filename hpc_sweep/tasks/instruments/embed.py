"""Makes the embedded data set again from a rendered folder.

python -m hpc_sweep.tasks.instruments.embed ROOT OUT.npz
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hpc_sweep.errors import UserError
from hpc_sweep.tasks.instruments.embedded import SIZE, write_embedded
from hpc_sweep.tasks.instruments.features import features
from hpc_sweep.tasks.instruments.irmas import read_training, training_folder
from hpc_sweep.tasks.instruments.logmel import LogMel

if TYPE_CHECKING:
    from collections.abc import Sequence


def embed(root: Path, out: Path) -> None:
    """Write the pictures of the training clips below ``root`` to the file ``out``."""
    with TemporaryDirectory() as cache:
        parameters = LogMel(n_mels=SIZE, size=SIZE)
        write_embedded(out, features(training_folder(root), read_training(root), parameters, Path(cache)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="embed", description="Make the embedded data set from a rendered folder.")
    parser.add_argument("root", type=Path, help="folder that holds IRMAS-TrainingData")
    parser.add_argument("out", type=Path, help="the .npz file")
    options = parser.parse_args(arguments)
    try:
        embed(options.root, options.out)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
