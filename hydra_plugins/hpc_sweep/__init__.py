"""Where Hydra finds the launchers and the recorder of hpc_sweep."""
