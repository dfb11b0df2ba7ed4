"""Bring a database to the newest schema, one process at a time."""

import asyncio
from functools import lru_cache
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.connections import refusal_of_login
from app.core.database_url import connect_arguments
from app.core.errors import WrongConnection

MIGRATION_LOCK = 0x5741_5953_5441_5449
"""Key of the advisory lock: whoever holds it migrates, the others wait and then find nothing to do."""


def _config() -> Config:
    """Where the scripts are: beside the package, or within it once installed."""
    package = Path(__file__).parent.parent
    beside = package.parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(beside if beside.is_dir() else package / "migrations"))
    return config


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for one connection."""
    config = _config()
    config.attributes["connection"] = connection
    return config


@lru_cache(maxsize=1)
def head_revision() -> str | None:
    """The newest revision this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def open_engine(database_url: str) -> AsyncEngine:
    """SQLAlchemy on a connection that asyncpg opens, so that the URL is read as everywhere else; raises ValueError."""
    arguments = connect_arguments(database_url)

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        try:
            return await asyncpg.connect(**arguments)
        except (asyncpg.PostgresError, OSError) as error:
            if (sentence := refusal_of_login(error)) is None:
                raise
            raise WrongConnection(sentence) from error

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
    """Upgrade to head as the database's owner. Blocks; several at once are safe."""
    asyncio.run(_migrate(database_url))
