"""Names that somebody may have meant."""

import difflib
from collections.abc import Iterable

LOOKED_AT_MAX = 60
"""Characters of a name: to compare long ones takes time that grows with the square of their length."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one; None where none is."""
    if len(name) > LOOKED_AT_MAX:
        return None
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, to be added to a message; empty where no known name is like this one."""
    near = nearest(name, known)
    return "" if near is None else f"; did you mean {near}?"
