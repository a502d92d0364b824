"""What the engines are called; needs no torch, so that whoever only keeps choices can say them."""

SEQUENTIAL, PACKED, VMAP, GROUPED, SPREAD = "sequential", "packed", "vmap", "grouped", "grouped-spread"
