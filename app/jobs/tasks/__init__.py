"""The engine's edges in a worker: each claims a batch, makes the calls side by side, and records what came of them."""
