"""Waystation, an async job gateway: it records each job, submits it to the upstream at most once, and keeps its result."""
