"""How shards get to machines: the only home of submitit."""
