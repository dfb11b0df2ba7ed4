"""Pages of lists: `{"items", "next_cursor"}`. A cursor is the shown id of the page's last item."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from app.core.errors import Malformed, Problem
from app.core.ids import Prefix, find_id

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
NUMBER = re.compile(r"[0-9]{1,18}")

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page. `next_cursor` is None on the last page."""

    items: list[Item]
    next_cursor: str | None


def parse_cursor(prefix: Prefix, cursor: str | None) -> UUID | None:
    """Return the id after which a page begins, or None for the first page. Raises Malformed."""
    if cursor is None:
        return None
    after = find_id(prefix, cursor)
    if after is None:
        raise Malformed(
            "cursor: not a cursor of this list",
            problems=[Problem("query cursor", "expected a `next_cursor` of this list")],
        )
    return after


def parse_number_cursor(cursor: str | None) -> int | None:
    """Like `parse_cursor`, for lists whose rows have numbers."""
    if cursor is None:
        return None
    if not NUMBER.fullmatch(cursor):
        raise Malformed(
            "cursor: not a cursor of this list",
            problems=[Problem("query cursor", "expected a `next_cursor` of this list")],
        )
    return int(cursor)


def cut_page(found: Sequence[Item], *, limit: int, cursor_of: Callable[[Item], str]) -> Page[Item]:
    """Make a page of at most `limit` items from a query's rows for `limit + 1`."""
    items = list(found[:limit])
    return Page(items=items, next_cursor=cursor_of(items[-1]) if len(found) > limit else None)
