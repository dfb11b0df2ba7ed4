"""A database whose catalogue is the test's own."""

from collections.abc import AsyncIterator

import pytest

from app.core.database.db import Database
from tests.conftest import NewDatabase


@pytest.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = await Database.open(await new_database(), name="test", writers_max=2, readers_max=2)
    yield database
    await database.close()
