"""The simulator's routes and the connections that carry them."""
