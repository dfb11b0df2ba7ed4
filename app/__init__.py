"""Waystation, an async job gateway: what a tenant asks for is recorded, submitted upstream at most once, and kept."""
