"""Bring a database to the newest schema, one process at a time."""

import asyncio

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.connections import refusal_of_login
from app.core.database_url import connect_arguments
from app.core.errors import WrongConnection
from app.core.pooler import LOST, SHARED, OwnNames, is_pooled, keeps_session
from app.core.revisions import migrations_directory

MIGRATION_LOCK = 0x5741_5953_5441_5449
"""Key of the advisory lock: whoever holds it migrates, the others wait and then find nothing to do."""


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for one connection."""
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    config.attributes["connection"] = connection
    return config


def open_engine(database_url: str) -> AsyncEngine:
    """SQLAlchemy on a connection that asyncpg opens, so that the URL is read as everywhere else; raises ValueError."""
    arguments = connect_arguments(database_url)

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        try:
            connection = await asyncpg.connect(**arguments, connection_class=OwnNames)
            backend = await connection.fetchval("SELECT pg_backend_pid()")
            shared = is_pooled(connection, backend) and not await keeps_session(
                connection, backend, lambda: asyncpg.connect(**arguments)
            )
        except LOST as error:
            raise WrongConnection(SHARED) from error
        except (asyncpg.PostgresError, OSError) as error:
            if (sentence := refusal_of_login(error)) is None:
                raise
            raise WrongConnection(sentence) from error
        if shared:
            await connection.close()
            raise WrongConnection(SHARED)
        return connection

    return create_async_engine("postgresql+asyncpg://", async_creator=connect)


def _upgrade(connection: Connection) -> None:
    connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
    command.upgrade(alembic_config(connection), "head")


async def _migrate(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def migrate(database_url: str) -> None:
    """Upgrade to head as the database's owner. Blocks; several at once are safe.

    Raises asyncpg's own errors where the database refuses.
    """
    try:
        asyncio.run(_migrate(database_url))
    except DBAPIError as error:  # callers need not import SQLAlchemy to tell what went wrong
        raise (error.orig and error.orig.__cause__) or error from None
