"""An empty database for each test, a tenant in it, and a worker's hand without a worker."""

from collections.abc import AsyncIterator

import pytest

from app.core.database.db import Database
from tests.conftest import NewDatabase
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine


@pytest.fixture
async def url(new_database: NewDatabase) -> str:
    return await new_database()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url, name="test", writers_max=4, readers_max=2)
    yield database
    await database.close()


@pytest.fixture
async def caller(database: Database) -> Caller:
    return await make_caller(database)


@pytest.fixture
def engine(database: Database) -> Engine:
    return Engine(database)
