"""What can keep a stack from running."""


class StackError(Exception):
    """The stack, or a part of it, cannot run; the message is one line for the person who started it."""


class AlreadyRunning(StackError):
    """Another stack holds this data directory."""
