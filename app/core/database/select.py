"""Build statements for rare reads with SQLAlchemy Core, and run them with asyncpg.

A list with filters is one statement for each set of filters, so Postgres plans it for that set. Building it takes 0.25 ms.
Engine and submits therefore use SQL text.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from app.core.database.session import ReadSession, Row

_DIALECT = dialect()  # type: ignore[no-untyped-call]

Made = TypeVar("Made")


async def fetch(session: ReadSession, statement: Select[Any]) -> list[Row]:
    """Return all rows of a statement as asyncpg's records. Columns have their names in the statement."""
    compiled = statement.compile(dialect=_DIALECT)
    values = compiled.params
    return await session.fetch(compiled.string, *(values[name] for name in compiled.positiontup or ()))


async def rows(session: ReadSession, statement: Select[Any], row: Callable[..., Made]) -> list[Made]:
    """Return all rows, made by `row` from their columns by name. Raises TypeError if these are not its fields."""
    return [row(**found) for found in await fetch(session, statement)]


def equal(column: ColumnElement[Any], value: object) -> list[ColumnElement[bool]]:
    """Return a filter's condition for `where(*…)`, none if the value is None."""
    return [] if value is None else [column == value]


def within(column: ColumnElement[Any], first: object, end: object) -> list[ColumnElement[bool]]:
    """Return the conditions for a range from `first`, inclusive, to `end`, exclusive."""
    bounds = [None if first is None else column >= first, None if end is None else column < end]
    return [bound for bound in bounds if bound is not None]
