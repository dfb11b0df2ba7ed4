"""The work of the reconciliation: one run, the daily run, and the recovery."""
