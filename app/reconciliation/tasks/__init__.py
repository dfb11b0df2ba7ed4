"""The reconciliation at work: one run, and the daily one."""
