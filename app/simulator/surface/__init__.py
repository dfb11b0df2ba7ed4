"""The simulator's routes, and its connections."""
