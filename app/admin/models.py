"""What operators may do."""

from enum import StrEnum


class Role(StrEnum):
    """What an operator may do: a viewer reads, an admin also writes."""

    ADMIN = "admin"
    VIEWER = "viewer"
