"""`waystation reconcile` and `waystation recover`."""
