"""Logs: constant events with keywords, grouped where there are many, without secrets."""
