"""From Hydra to plan lines, and from plan lines back to a task that runs."""
