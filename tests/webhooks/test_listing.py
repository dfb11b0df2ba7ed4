"""Lists that are written with SQLAlchemy's Core: their columns are held against the types of their rows, as those of files are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from app.core.database.sql import Query
from app.webhooks.listing import _DELIVERIES, _ENDPOINTS, Delivery, Endpoint
from tests.house.test_sql import _wrong


@pytest.mark.parametrize(("statement", "row"), [(_ENDPOINTS, Endpoint), (_DELIVERIES, Delivery)])
async def test_a_list_gives_the_columns_of_its_row(
    database_url: str, statement: Select[Any], row: Callable[..., Any]
) -> None:
    text = statement.compile(dialect=dialect()).string  # type: ignore[no-untyped-call]
    connection = await asyncpg.connect(database_url)
    try:
        assert await _wrong(connection, Query(row.__name__, Path("listing.py"), text, (), row)) == []
    finally:
        await connection.close()
