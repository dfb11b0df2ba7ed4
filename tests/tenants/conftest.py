"""A database, and tenants with keys in it."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from app.core.database.db import Database
from tests.factories.callers import SECRET, NewCaller, make_caller


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, name="test", writers_max=4, readers_max=4)
    yield database
    await database.close()


@pytest.fixture
def secret() -> bytes:
    return SECRET


@pytest.fixture
def new_caller(database: Database) -> NewCaller:
    return partial(make_caller, database)
