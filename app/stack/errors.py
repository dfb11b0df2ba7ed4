"""Errors that keep a stack from running."""


class StackError(Exception):
    """The stack, or a part of it, cannot run. The message is one line for the person who started it."""


class AlreadyRunning(StackError):
    """Another stack uses this data directory."""
