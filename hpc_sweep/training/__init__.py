"""The home of torch: how one trial trains, and nothing about where."""
