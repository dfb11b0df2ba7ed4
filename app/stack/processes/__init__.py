"""Start, watch, replace and stop processes that must not outlive this one."""
