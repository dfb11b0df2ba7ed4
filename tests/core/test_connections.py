"""A connection that lacks its role or its time-outs is not used: whoever wanted it hears what is wrong."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
import pytest

from app.core.database.connections import SERVICE_ROLE, Terms, differences
from app.core.database.db import Database, retry_read, retry_until_stored
from app.core.errors import StatementTimedOut, StoreUnavailable, WrongConnection
from tests.conftest import NewDatabase
from tests.doubles.pooler import SETTINGS, pooling
from tests.servers import Urls, drop_database, with_path


async def opened(url: str, told: list[WrongConnection] | None = None, **terms: float) -> Database:
    on_wrong = None if told is None else told.append
    return await Database.open(url, name="test", writers_max=1, readers_max=1, on_wrong=on_wrong, **terms)


async def test_all_is_as_asked_for(database_url: str) -> None:
    told: list[WrongConnection] = []
    # Postgres tells these as 90s, 30min and 1500ms
    for seconds in (90.0, 1800.0, 1.5):
        database = await opened(database_url, told, statement_seconds=seconds, read_seconds=5.0)
        await database.prove()
        async with database.statement() as session:
            assert await session.fetchval("SELECT current_user::text") == SERVICE_ROLE
        async with database.snapshot() as reads:
            assert await reads.fetchval("SHOW statement_timeout") == "5s"
        await database.close()
    assert told == []


@pytest.mark.parametrize("setting", SETTINGS)
async def test_a_pooler_that_drops_one_setting(database_url: str, setting: str) -> None:
    told: list[WrongConnection] = []
    async with pooling(database_url, {setting}) as pooler:
        database = await opened(pooler.url, told)
        with pytest.raises(WrongConnection, match="PgBouncer") as refused:
            await database.prove()
        await database.close()
    assert told == [refused.value]
    assert f"{setting} is " in refused.value.message
    assert "WAYSTATION_DATABASE_URL" in refused.value.message
    others = set(SETTINGS) - {setting}
    assert not [other for other in others if f"{other} is " in refused.value.message]


async def test_a_pooler_that_refuses_settings(database_url: str) -> None:
    """They are set once the connection is there. `test_pgbouncer` does the same with a real one."""
    told: list[WrongConnection] = []
    async with pooling(database_url, refuses=True) as pooler:
        database = await opened(pooler.url, told)
        await database.prove()
        async with database.statement() as session:
            assert await session.fetchval("SELECT current_user::text") == SERVICE_ROLE
        await database.close()
    assert told == []


async def test_a_pooler_that_refuses_what_the_url_asks_for(database_url: str) -> None:
    told: list[WrongConnection] = []
    async with pooling(database_url, refuses=True) as pooler:
        database = await opened(f"{pooler.url}?options=-c%20geqo%3Doff", told)
        with pytest.raises(WrongConnection, match=r"unsupported startup parameter: options.*PgBouncer"):
            await database.prove()
        await database.close()
    assert len(told) == 1


async def test_no_read_or_write_goes_on_for_ever(database_url: str) -> None:
    """Neither who is patient nor who must be stored takes a wrong connection for a store that is briefly away."""
    async with pooling(database_url) as pooler:
        database = await opened(pooler.url)

        async def read() -> None:
            async with database.snapshot() as session:
                await session.fetchval("SELECT 1")

        async def write() -> None:
            async with database.statement() as session:
                await session.execute("CREATE TABLE written ()")

        async with asyncio.timeout(10):
            for attempt in (retry_read(read), retry_until_stored(write)):
                with pytest.raises(WrongConnection):
                    await attempt
        await database.close()
    owner = await asyncpg.connect(database_url)
    assert await owner.fetchval("SELECT to_regclass('written')") is None
    await owner.close()


async def test_a_login_that_may_not_take_the_role(new_database: NewDatabase) -> None:
    url = await new_database()
    owner = await asyncpg.connect(url)
    await owner.execute("DROP ROLE IF EXISTS stranger")
    await owner.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    try:
        _, at, rest = url.rpartition("@")
        database = await opened(f"postgresql://stranger:stranger{at}{rest}")
        with pytest.raises(WrongConnection, match=f'permission denied to set role "{SERVICE_ROLE}"'):
            await database.prove()
        await database.close()
    finally:
        await owner.execute("DROP ROLE stranger")
        await owner.close()


async def test_postgres_that_is_away_is_no_wrong_connection() -> None:
    told: list[WrongConnection] = []
    database = await opened("postgresql://u:p@127.0.0.1:1/x", told)
    with pytest.raises(StoreUnavailable) as refused:
        await database.prove()
    assert not isinstance(refused.value, WrongConnection)
    await database.close()
    assert told == []


@pytest.mark.parametrize("wrong", ["password", "user", "database", "sslmode"])
async def test_a_login_that_is_refused_from_the_beginning_stops_the_process(servers: Urls, wrong: str) -> None:
    told: list[WrongConnection] = []
    at = servers.database.rpartition("@")[2]
    url = {
        "password": f"postgresql://waystation:wrong@{at}",
        "user": f"postgresql://nobody:wrong@{at}",
        "database": with_path(servers.database, "no_such_database"),
        "sslmode": f"{servers.database}?sslmode=require",
    }[wrong]
    database = await opened(url, told)
    with pytest.raises(WrongConnection, match=r"^WAYSTATION_DATABASE_URL: the database refuses: .*; expected "):
        await database.prove()
    await database.close()
    assert len(told) == 1


async def test_a_login_that_is_refused_later_is_waited_for(servers: Urls, new_database: NewDatabase) -> None:
    """As in a failover, or while a password is changed."""
    told: list[WrongConnection] = []
    url = await new_database()
    database = await opened(url, told)
    await database.prove()
    await drop_database(servers.database, urlsplit(url).path[1:])
    for _ in range(3):  # the first ones may get the connections that were cut
        with pytest.raises(StoreUnavailable) as refused:
            await database.prove()
        assert not isinstance(refused.value, WrongConnection)
    await database.close()
    assert told == []


async def test_a_database_that_takes_no_connections_is_away(servers: Urls, new_database: NewDatabase) -> None:
    """As while it is restored."""
    told: list[WrongConnection] = []
    url = await new_database()
    name = urlsplit(url).path[1:]
    owner = await asyncpg.connect(servers.database)
    try:
        await owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        database = await opened(url, told)
        with pytest.raises(StoreUnavailable) as refused:
            await database.prove()
        assert not isinstance(refused.value, WrongConnection)
        await owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await database.prove()
        await database.close()
    finally:
        await owner.close()
    assert told == []


async def test_a_statement_that_takes_too_long_is_not_repeated(database_url: str) -> None:
    database = await opened(database_url, read_seconds=0.2)
    asked = 0

    async def read() -> None:
        nonlocal asked
        asked += 1
        async with database.snapshot() as session:
            await session.fetchval("SELECT pg_sleep(30)")

    async with asyncio.timeout(25):
        with pytest.raises(StatementTimedOut) as refused:
            await retry_read(read)
    assert asked == 1
    assert (refused.value.status, refused.value.retry_after_seconds) == (503, 10)
    async with database.snapshot() as session:
        assert await session.fetchval("SELECT 1") == 1
    await database.close()


def test_what_differs_is_named_with_what_was_expected() -> None:
    terms = Terms(statement_seconds=5.0, read_only=True)
    assert differences(terms, dict(terms.expected)) == []
    found = {**terms.expected, "role": "postgres", "statement_timeout": 0.0}
    assert differences(terms, found) == [
        f"role is postgres, expected {SERVICE_ROLE}",
        "statement_timeout is 0 s, expected 5 s",
    ]
