"""One Postgres and one Valkey for a whole test run, and databases in them that begin migrated and empty."""

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from app.core.database.migrate import migrate
from app.stack.servers.postgres import EmbeddedPostgres
from app.stack.servers.valkey import EmbeddedValkey

REDIS_DATABASES = 64
REDIS_SHARE = 15
"""Redis databases of one process of tests: the first is for tests that have no gateway, each gateway takes another one.
Workers of two gateways in one database would follow each other's rings."""
_gateways = itertools.count()


@dataclass(frozen=True, slots=True)
class Urls:
    """Where they are; `database` is the owner's, of a database that tests leave alone; `template` is migrated."""

    database: str
    redis: str
    template: str


def with_path(url: str, path: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def redis_of_a_gateway(url: str) -> str:
    """Another database than `url`, which is the first of this process."""
    first = int(urlsplit(url).path[1:])
    return with_path(url, str(first + 1 + next(_gateways) % (REDIS_SHARE - 1)))


class Servers:
    """Embedded ones, but for those that WAYSTATION_TEST_DATABASE_URL and WAYSTATION_TEST_REDIS_URL name."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="waystation-test-"))
        self._postgres: EmbeddedPostgres | None = None
        self._valkey: EmbeddedValkey | None = None
        self._given: Urls | None = None

    def start(self) -> Urls:
        """Run them and migrate the template. From the main thread: they end with it."""
        return asyncio.run(self._start())

    async def _start(self) -> Urls:
        database, redis = (os.environ.get(f"WAYSTATION_TEST_{name}_URL") for name in ("DATABASE", "REDIS"))
        if not database:
            self._postgres = EmbeddedPostgres(self._directory / "postgres", password=uuid4().hex)
            await self._postgres.start()
            database = self._postgres.url
        if not redis:
            self._valkey = EmbeddedValkey(self._directory / "valkey", password=uuid4().hex)
            await self._valkey.start()
            redis = self._valkey.url
        template = f"template_{uuid4().hex}"
        await create_database(database, template)
        await asyncio.to_thread(migrate, with_path(database, template))
        self._given = Urls(database, redis, template)
        return self._given

    def stop(self) -> None:
        """Stop them; their data goes too."""
        asyncio.run(self._stop())
        shutil.rmtree(self._directory)

    async def _stop(self) -> None:
        if self._given is not None and self._postgres is None:
            await drop_database(self._given.database, self._given.template)
        for server in (self._valkey, self._postgres):
            if server is not None:
                await server.stop()


async def create_database(owner_url: str, name: str, *, template: str = "template1") -> str:
    """A new database; its URL."""
    connection = await asyncpg.connect(owner_url)
    try:
        # all of the template goes through the WAL; to compress that costs a third of the time
        await connection.execute("SET wal_compression = off")
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()
    return with_path(owner_url, name)


@contextlib.asynccontextmanager
async def temporary_database(owner_url: str, *, template: str = "template1") -> AsyncIterator[str]:
    """A new database's URL; it is dropped on exit."""
    name = f"test_{uuid4().hex}"
    try:
        yield await create_database(owner_url, name, template=template)
    finally:
        await drop_database(owner_url, name)


async def drop_database(owner_url: str, name: str) -> None:
    """Drop it, whoever is still connected."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()
