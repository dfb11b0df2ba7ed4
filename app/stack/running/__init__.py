"""`waystation up` and `waystation demo`."""
