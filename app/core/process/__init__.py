"""What a process that runs for long is made of: loops, batches, a heartbeat, a watchdog, a clean end."""
