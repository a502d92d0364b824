"""How a shard's trials run: a supervisor that owns the records, and a worker that trains."""
