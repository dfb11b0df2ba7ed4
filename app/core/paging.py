"""Cursor pages: `{"items", "next_cursor"}`. A cursor is the id of the page's last item, as it is shown."""

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
    """One page; `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None


def parse_cursor(prefix: Prefix, cursor: str | None) -> UUID | None:
    """The id after which a page begins, None for the first page; raises Malformed."""
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
    """The same for lists whose rows are numbered."""
    if cursor is None:
        return None
    if not NUMBER.fullmatch(cursor):
        raise Malformed(
            "cursor: not a cursor of this list",
            problems=[Problem("query cursor", "expected a `next_cursor` of this list")],
        )
    return int(cursor)


def cut_page(found: Sequence[Item], *, limit: int, cursor_of: Callable[[Item], str]) -> Page[Item]:
    """A page of at most `limit` from what a query for `limit + 1` found."""
    items = list(found[:limit])
    return Page(items=items, next_cursor=cursor_of(items[-1]) if len(found) > limit else None)
