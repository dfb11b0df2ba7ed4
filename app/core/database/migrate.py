"""Migrate a database to the newest schema, in one process at a time."""

import asyncio
import random

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.core.database.connections import connect_owner
from app.core.database.database_url import connect_arguments
from app.core.database.schema import FIND_SCHEMA, Fit, Found, head_revision, migrations_directory
from app.core.database.sql import Query, SqlFolder
from app.core.errors import WrongSchema

MIGRATION_LOCK = 0x5741_5953_5441_5449
"""Key of the advisory lock. Its holder migrates. The others wait, and then find nothing to do."""
LOCK_AGAIN_SECONDS = 0.1
TRIES = 5
"""How often a migration is tried that others make fail, every AGAIN_SECONDS or so."""
AGAIN_SECONDS = 2.0
_IN_THE_WAY = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)

_SQL = SqlFolder(__file__)
_LOCK = _SQL.query("lock_migrations", bool)
_HAS_SCHEMA = _SQL.query("has_schema", bool)


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for one connection."""
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    config.attributes["connection"] = connection
    return config


def open_engine(database_url: str) -> AsyncEngine:
    """Open SQLAlchemy on connections of asyncpg, so that the URL is parsed as everywhere else. Raises ValueError."""
    arguments = connect_arguments(database_url)
    return create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect_owner(arguments))


async def _value(connection: AsyncConnection, query: Query[bool], **given: object) -> bool:
    """Return the only value of a statement, run on SQLAlchemy's connection."""
    found = await connection.exec_driver_sql(query.text, tuple(query.arguments(given)))
    return bool(found.scalar())


async def _lock(connection: AsyncConnection) -> None:
    """Take the advisory lock, until the connection ends. The connection commits each statement.

    It polls: a statement that waits keeps a snapshot, and the lock's holder may build an index concurrently, which waits for
    all snapshots.
    """
    while not await _value(connection, _LOCK, key=MIGRATION_LOCK):  # noqa: ASYNC110
        await asyncio.sleep(LOCK_AGAIN_SECONDS)


async def _find(connection: AsyncConnection) -> Found:
    if not await _value(connection, _HAS_SCHEMA):
        return Found()
    row = (await connection.exec_driver_sql(FIND_SCHEMA.text)).first()
    return Found() if row is None else Found(*row)


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")


async def _upgrade_in_traffic(engine: AsyncEngine) -> None:
    """Upgrade beside processes that hold locks: a migration that they make fail is repeated, from the last one that was committed."""
    for left in reversed(range(TRIES)):
        try:
            async with engine.connect() as connection:
                await connection.run_sync(_upgrade)
            return
        except DBAPIError as error:
            if left == 0 or not isinstance(_cause(error), _IN_THE_WAY):
                raise
        await asyncio.sleep(random.uniform(0.5, 1.5) * AGAIN_SECONDS)


def _cause(error: DBAPIError) -> BaseException:
    """The driver's own error."""
    return (error.orig and error.orig.__cause__) or error


async def _migrate(database_url: str) -> Found:
    engine = open_engine(database_url)
    try:
        async with engine.connect() as guard:
            await guard.execution_options(isolation_level="AUTOCOMMIT")
            await _lock(guard)
            found, head = await _find(guard), head_revision()
            if found.version is not None and found.version > head:
                if found.fit(head) is Fit.CONTRACTED:
                    raise WrongSchema(found.sentence(head))
                return found
            await _upgrade_in_traffic(engine)
            return await _find(guard)
    finally:
        await engine.dispose()


def migrate(database_url: str) -> Found:
    """Upgrade to the head revision as the database's owner, one transaction for each migration. Returns the schema's state.
    Blocks. Concurrent calls are safe. The schema of a newer release that serves this one is not changed.

    Raises asyncpg's errors if the database refuses, and WrongSchema if the schema does not serve this release.
    """
    try:
        return asyncio.run(_migrate(database_url))
    except DBAPIError as error:  # so that callers need not import SQLAlchemy for its errors
        raise _cause(error) from None
