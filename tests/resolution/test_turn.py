"""Whose turn it is to read the history."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from app.core.database.db import Database
from app.resolution.operations import end_turn
from tests.conftest import NewDatabase

OWNER = UUID(int=7)


@pytest.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = await Database.open(await new_database(), name="test", writers_max=4, readers_max=2)
    yield database
    await database.close()


@pytest.mark.parametrize("unreadable", [False, True])
async def test_a_history_that_cannot_be_read_is_left_alone_until_its_time(database: Database, unreadable: bool) -> None:
    async with database.statement() as session:
        await session.execute("UPDATE history_watch SET owner = $1, lease_until = now() + interval '60 s'", OWNER)
    async with database.statement() as session:
        await end_turn(session, owner=OWNER, wait_seconds=30, read_at=None, lag_seconds=None, unreadable=unreadable)
    async with database.snapshot() as session:
        row = await session.fetchrow(
            "SELECT next_at > now() + interval '25 s' AS waits, lease_until BETWEEN now() + interval '25 s'"
            " AND now() + interval '31 s' AS closed FROM history_watch"
        )
    assert row is not None
    assert (row["waits"], bool(row["closed"])) == (True, unreadable)
