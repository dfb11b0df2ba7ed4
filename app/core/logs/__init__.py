"""Logs: constant events with keywords, without secrets. Many equal warnings are grouped."""
