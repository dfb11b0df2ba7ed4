"""Behind a real PgBouncer: a connection has its role and its time-outs where its session is its own, and is refused where
transactions share sessions, however few or many use the pool."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.core.database.connections import SERVICE_ROLE
from app.core.database.db import Database
from app.core.database.migrate import migrate
from app.core.errors import StoreUnavailable, WrongConnection
from tests.conftest import NewDatabase
from tests.doubles.pgbouncer import pgbouncer
from tests.gateway import eventually

OURS = (
    "role, statement_timeout, idle_in_transaction_session_timeout, default_transaction_read_only, jit, plan_cache_mode"
)
DROPPING = {"= extra_float_digits": f"= extra_float_digits, {OURS}"}
SESSION, TRANSACTION = "pool_mode=session", "pool_mode=transaction"


async def opened(url: str, told: list[WrongConnection] | None = None, *, size: int = 1) -> Database:
    return await Database.open(
        url, name="test", writers_max=size, readers_max=size, on_wrong=None if told is None else told.append
    )


async def settings(database: Database) -> list[tuple[str, ...]]:
    """Role, time-out and read-only mode of a connection that writes and of one that reads."""
    sql = "SELECT current_user::text, current_setting('statement_timeout'), current_setting('transaction_read_only')"
    async with database.transaction() as writing, database.snapshot() as reading:
        return [tuple(row) for row in (await writing.fetchrow(sql), await reading.fetchrow(sql)) if row is not None]


EXPECTED = [(SERVICE_ROLE, "30s", "off"), (SERVICE_ROLE, "30s", "on")]


@pytest.mark.parametrize("replaced", [{}, DROPPING], ids=["refuses parameters", "drops parameters"])
async def test_sessions_are_as_asked_for(database_url: str, tmp_path: Path, replaced: dict[str, str]) -> None:
    async with pgbouncer(database_url, tmp_path, replaced=replaced) as pooler:
        for _ in range(2):  # the second time in the sessions of the first
            database = await opened(pooler.url())
            assert await settings(database) == EXPECTED
            await database.close()
        # and nothing of it is left for whoever comes next
        owner = await asyncpg.connect(pooler.url())
        assert await owner.fetchval("SELECT current_user = session_user")
        assert await owner.fetchval("SHOW default_transaction_read_only") == "off"
        await owner.close()


async def test_many_connections_at_once(database_url: str, tmp_path: Path) -> None:
    """Each proves itself with a second connection for a moment, one at a time of each pool."""
    async with pgbouncer(database_url, tmp_path, replaced={"pool_size=100": "pool_size=18"}) as pooler:
        database = await opened(pooler.url(), size=8)
        try:
            async with contextlib.AsyncExitStack() as held:
                writing = await asyncio.gather(*(held.enter_async_context(database.transaction()) for _ in range(8)))
                reading = await asyncio.gather(*(held.enter_async_context(database.snapshot()) for _ in range(8)))
                assert {await one.fetchval("SELECT current_user::text") for one in (*writing, *reading)} == {
                    SERVICE_ROLE
                }
        finally:
            await database.close()


@contextlib.asynccontextmanager
async def used(url: str, clients: int) -> AsyncIterator[None]:
    """So many others, who ask one thing after the other."""

    async def ask(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while True:
            await connection.execute("BEGIN; SELECT pg_sleep(0.005); COMMIT")

    connections = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(clients)]
    tasks = [asyncio.create_task(ask(connection)) for connection in connections]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in connections:
            connection.terminate()


@pytest.mark.parametrize("mode", [TRANSACTION, "pool_mode=statement"])
@pytest.mark.parametrize("clients", [0, 1, 12])
@pytest.mark.parametrize("replaced", [{}, {"[pgbouncer]": "[pgbouncer]\nserver_round_robin = 1"}, DROPPING],
                         ids=["last used first", "round robin", "drops parameters"])  # fmt: skip
async def test_shared_sessions_are_refused(
    database_url: str, tmp_path: Path, mode: str, clients: int, replaced: dict[str, str]
) -> None:
    told: list[WrongConnection] = []
    async with pgbouncer(database_url, tmp_path, replaced={**replaced, SESSION: mode}) as pooler:
        async with (
            used(pooler.url("waystation_ops"), clients),
            used(pooler.url(), clients if mode == TRANSACTION else 0),
        ):
            database = await opened(pooler.url(), told)
            with pytest.raises(
                WrongConnection, match=r"pool_mode = session for this database, as in deploy/pgbouncer/pgbouncer\.ini"
            ):
                await database.prove()
            await database.close()
        # whoever else works in these sessions finds nothing of ours in them
        owner = await asyncpg.connect(pooler.url(), statement_cache_size=0)
        assert await owner.fetchval(
            "SELECT current_user = session_user AND NOT current_setting('transaction_read_only')::boolean"
        )
        await owner.close()
    assert len(told) == 1


async def test_a_pooler_that_begins_to_share_sessions(database_url: str, tmp_path: Path) -> None:
    """What is prepared is soon not found any more; by then nothing has been done as another role."""
    told: list[WrongConnection] = []
    async with pgbouncer(database_url, tmp_path) as pooler:
        databases = [await opened(pooler.url(), told) for _ in range(3)]

        async def role(database: Database) -> str:
            async with database.statement() as session:
                found: str = await session.fetchval("SELECT current_user::text")
                return found

        async def refused() -> bool:
            try:
                roles = await asyncio.gather(*(role(database) for database in databases))
            except WrongConnection:
                return True
            assert set(roles) == {SERVICE_ROLE}
            return False

        assert not await refused()
        pooler.change({SESSION: TRANSACTION})
        await eventually(refused)
        for database in databases:
            await database.close()
    assert told
    assert "pool_mode = session" in told[0].message


async def test_a_pool_without_room_for_the_proof(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[WrongConnection] = []
    async with pgbouncer(database_url, tmp_path, replaced={"pool_size=100": "pool_size=1"}) as pooler:
        database = await opened(f"{pooler.url()}?connect_timeout=1", told)

        async def said() -> bool:  # on a busy machine not even the first connection may be there within a second
            with pytest.raises(StoreUnavailable) as refused:
                await database.prove()
            assert not isinstance(refused.value, WrongConnection)
            return "pool_size must be larger" in "".join(capsys.readouterr())

        await eventually(said)
        await database.close()
    assert told == []


async def test_migrations(new_database: NewDatabase, tmp_path: Path) -> None:
    url = await new_database()
    async with pgbouncer(url, tmp_path) as pooler:
        await asyncio.to_thread(migrate, pooler.url())
        with pytest.raises(WrongConnection, match="pool_mode = session"):
            await asyncio.to_thread(migrate, pooler.url("waystation_ops"))
