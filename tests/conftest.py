"""A migrated database for every test that asks, on the server of WAYSTATION_TEST_DATABASE_URL."""

import asyncio
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from app.core.migrate import migrate


@pytest.fixture(scope="session")
async def database_url() -> AsyncIterator[str]:
    server = os.environ.get("WAYSTATION_TEST_DATABASE_URL", "postgresql://waystation@127.0.0.1:55432/postgres")
    name = f"test_{uuid4().hex}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    await asyncio.to_thread(migrate, url)
    yield url
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()
