"""Parts of a long-running process: loops, batches, a heartbeat, a watchdog, a clean shutdown."""
