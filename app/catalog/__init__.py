"""Models the upstream offers, as far as we know them: the schema of their parameters, and how long they run."""
