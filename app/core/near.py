"""Find the known name that a user probably meant."""

import difflib
from collections.abc import Iterable

LOOKED_AT_MAX = 60
"""Characters of a name. A comparison takes time that grows with the square of the length."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to this one, or None if none is similar."""
    if len(name) > LOOKED_AT_MAX:
        return None
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` for the end of a message, or nothing if no known name is similar."""
    near = nearest(name, known)
    return "" if near is None else f"; did you mean {near}?"
