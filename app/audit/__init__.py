"""The audit log: who did what. Each row is written in the transaction of the action."""
