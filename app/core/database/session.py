"""Sessions: what may be asked of the database within one of its two doors.

The SQL text goes to asyncpg itself: SQLAlchemy's Core costs three to five times as much a statement and its ORM
six to nine times. SQLAlchemy describes the schema (`tables`), with which the migrations are compared, and cold lists (`select`).
"""

from itertools import starmap
from typing import Any, TypeVar

import asyncpg

from app.core.database.sql import Command, Query

Row = asyncpg.Record
Made = TypeVar("Made")


class ReadSession:
    """One connection's reads."""

    __slots__ = ("_connection",)

    def __init__(self, connection: "asyncpg.pool.PoolConnectionProxy[Row] | asyncpg.Connection[Row]") -> None:
        self._connection = connection

    async def rows(self, query: Query[Made], /, **given: object) -> list[Made]:
        """All rows."""
        return list(starmap(query.row, await self._connection.fetch(query.text, *query.arguments(given))))

    async def find_row(self, query: Query[Made], /, **given: object) -> Made | None:
        """The first row, or None."""
        row = await self._connection.fetchrow(query.text, *query.arguments(given))
        return None if row is None else query.row(*row)

    async def get_row(self, query: Query[Made], /, **given: object) -> Made:
        """The row of a statement that always gives one."""
        row = await self.find_row(query, **given)
        assert row is not None, query.name
        return row

    async def values(self, query: Query[Made], /, **given: object) -> list[Made]:
        """The only column of all rows."""
        return [row[0] for row in await self._connection.fetch(query.text, *query.arguments(given))]

    async def find_value(self, query: Query[Made], /, **given: object) -> Made | None:
        """The only column of the first row; None where there is no row, or it is null."""
        value: Made | None = await self._connection.fetchval(query.text, *query.arguments(given))
        return value

    async def get_value(self, query: Query[Made], /, **given: object) -> Made:
        """The only value of a statement that always gives one."""
        value = await self.find_value(query, **given)
        assert value is not None, query.name
        return value

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """All rows."""
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row, or None."""
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """The first column of the first row, or None."""
        return await self._connection.fetchval(sql, *args)


class Session(ReadSession):
    """One transaction's reads and writes."""

    __slots__ = ()

    async def run(self, command: Command, /, **given: object) -> int:
        """Run a statement; gives the number of rows it touched."""
        return await self.execute(command.text, *command.arguments(given))

    async def execute(self, sql: str, *args: object) -> int:
        """Run a statement; gives the number of rows it touched."""
        tag = await self._connection.execute(sql, *args)
        last = tag.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0
