"""A database for the ledger alone."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import asyncpg
import pytest

from app.core.database.db import Database
from tests.conftest import NewDatabase
from tests.servers import Urls, create_database, drop_database


@pytest.fixture
async def url(new_database: NewDatabase) -> str:
    return await new_database()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url, name="test", writers_max=8, readers_max=2)
    yield database
    await database.close()


@pytest.fixture
def url_for_machine(servers: Urls) -> Iterator[str]:
    """A database for a test that brings its own event loop; what it commits need not survive the machine."""
    name = f"test_{uuid4().hex}"
    url = asyncio.run(create_database(servers.database, name, template=servers.template))
    asyncio.run(_forgetful(url))
    yield url
    asyncio.run(drop_database(servers.database, name))


async def _forgetful(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f'ALTER DATABASE "{url.rsplit("/", 1)[1].partition("?")[0]}" SET synchronous_commit = off')
    await connection.close()
