"""Tasks: one run, the daily run, and the recovery."""
