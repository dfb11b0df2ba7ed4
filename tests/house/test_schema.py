"""The rules of the house that a migrated database can hold."""

import re
from collections.abc import AsyncIterator
from enum import StrEnum
from importlib import import_module

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from app.core.database.db import READONLY_ROLE
from app.core.database.migrate import alembic_config, open_engine
from app.core.database.tables import metadata
from tests.conftest import NewDatabase
from tests.house.source import sources

NOT_STORED = {"Status": "what a State looks like from outside; made when it is shown"}


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def enums() -> list[type[StrEnum]]:
    """Every StrEnum of the rooms' models."""
    found = set()
    for source in sources("app"):
        if source.path.endswith("/models.py"):
            module = import_module(source.path.removesuffix(".py").replace("/", "."))
            members = [value for value in vars(module).values() if isinstance(value, type)]
            found |= {value for value in members if issubclass(value, StrEnum) and value is not StrEnum}
    return sorted(found, key=lambda enum: enum.__name__)


async def test_every_enum_has_its_check(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    checks = await connection.fetch(
        "SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE contype = 'c'"
    )
    allowed = [set(re.findall(r"'([^']*)'::text", check["definition"])) for check in checks]
    stored = [enum for enum in enums() if enum.__name__ not in NOT_STORED]
    assert len(stored) >= 6
    assert [enum.__name__ for enum in stored if {str(member) for member in enum} not in allowed] == []
    assert set(NOT_STORED) <= {enum.__name__ for enum in enums()}


async def test_the_migrations_make_what_the_models_say(new_database: NewDatabase) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    engine = open_engine(await new_database())
    for source in sources("app"):
        if " = Table(" in source.text:
            import_module(source.path.removesuffix(".py").replace("/", "."))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_the_migrations_go_down_and_up_again(new_database: NewDatabase) -> None:
    url = await new_database()
    before = await dump(url)
    engine = open_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))
    assert [name for name in await dump(url) if "alembic_version" not in name] == []
    async with engine.connect() as connection:
        await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
    await engine.dispose()
    assert await dump(url) == before


async def dump(url: str) -> list[str]:
    """Every column, constraint and index of ours, as Postgres spells it."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        """
        SELECT format('%s.%s %s %s', table_schema, table_name, column_name, data_type) AS line
        FROM information_schema.columns WHERE table_schema IN ('public', 'ops')
        UNION ALL
        SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        UNION ALL
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
        ORDER BY line
        """
    )
    await connection.close()
    return [row["line"] for row in rows]


async def test_every_view_explains(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    views = [
        row["viewname"] for row in await connection.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'ops'")
    ]
    assert {"jobs", "requests", "attempts"} <= set(views)
    async with connection.transaction(readonly=True):
        await connection.execute(f"SET LOCAL ROLE {READONLY_ROLE}")
        for view in views:
            assert await connection.fetch(f"EXPLAIN SELECT * FROM ops.{view}")


async def test_every_view_and_column_for_dashboards_has_a_comment(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    silent = await connection.fetch(
        """
        SELECT format('%s.%s', relation.relname, attribute.attname) AS name
        FROM pg_class AS relation
        JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid AND attribute.attnum > 0
        WHERE relation.relnamespace = 'ops'::regnamespace AND relation.relkind = 'v'
            AND (
                col_description(relation.oid, attribute.attnum) IS NULL
                OR obj_description(relation.oid, 'pg_class') IS NULL
            )
        """
    )
    assert [row["name"] for row in silent] == []


async def test_dashboards_read_the_views_and_nothing_else(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = await connection.fetch(
        """
        SELECT format('%s %s', oid::regclass, privilege) AS may
        FROM pg_class CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
        WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace IN ('public'::regnamespace, 'ops'::regnamespace)
            AND has_table_privilege($1, oid, privilege)
        """,
        READONLY_ROLE,
    )
    assert rows
    assert [row["may"] for row in rows if not re.fullmatch(r"ops\.\w+ SELECT", row["may"])] == []


async def test_every_foreign_key_is_indexed(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    bare = await connection.fetch(
        """
        SELECT format('%s: %s', conrelid::regclass, conname) AS name
        FROM pg_constraint AS key
        WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND NOT EXISTS (
            SELECT FROM pg_index AS index
            WHERE index.indrelid = key.conrelid
                AND (index.indkey::int2[])[0:cardinality(key.conkey) - 1] @> key.conkey
        )
        """
    )
    assert [row["name"] for row in bare] == []
