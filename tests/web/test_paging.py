"""Cursor pages: together they are the list, in order, each item once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Malformed
from app.core.ids import new_id, show_id
from app.web.paging import cut_page, parse_cursor


@given(items=st.lists(st.integers(), unique=True), limit=st.integers(1, 20))
def test_pages_are_the_list(items: list[int], limit: int) -> None:
    found: list[int] = []
    cursor: str | None = None
    while True:
        begin = 0 if cursor is None else items.index(int(cursor)) + 1
        page = cut_page(items[begin : begin + limit + 1], limit=limit, cursor_of=str)
        assert len(page.items) <= limit
        found += page.items
        if page.next_cursor is None:
            break
        assert len(page.items) == limit
        cursor = page.next_cursor
    assert found == items


def test_a_cursor_is_an_id_of_its_kind() -> None:
    id_ = new_id()
    assert parse_cursor("job", None) is None
    assert parse_cursor("job", show_id("job", id_)) == id_
    for wrong in ("", "x", show_id("ten", id_), id_.hex, "job_" + "g" * 32, "job_" + "²" * 32):
        with pytest.raises(Malformed):
            parse_cursor("job", wrong)
