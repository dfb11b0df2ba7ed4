"""The gate: one transaction of a process at a time, and none that is idle for long."""

import asyncio

import asyncpg
import pytest

from app.core.database.db import Database
from app.core.errors import StoreUnavailable
from app.jobs.claiming.gate import Gate
from tests.gateway import eventually

IDLE_LIMIT = "SELECT current_setting('idle_in_transaction_session_timeout')"


async def test_one_transaction_of_a_process_at_a_time(database: Database) -> None:
    gate = Gate(database)
    inside = most = 0

    async def pass_through() -> None:
        nonlocal inside, most
        async with gate.transaction() as session:
            inside += 1
            most = max(most, inside)
            await session.execute("SELECT FROM upstream_state FOR UPDATE")
            inside -= 1

    await asyncio.gather(*(pass_through() for _ in range(8)))
    assert most == 1


async def test_whoever_does_nothing_there_is_rolled_back(database: Database) -> None:
    gate = Gate(database)

    async def gone(backend: int) -> bool:
        async with database.snapshot() as session:
            return not await session.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", backend)

    async def stay() -> None:
        async with gate.transaction() as session:
            await session.execute("UPDATE upstream_state SET tokens = -7")
            backend = await session.fetchval("SELECT pg_backend_pid()")
            await eventually(lambda: gone(backend))

    with pytest.raises(StoreUnavailable):
        await stay()
    async with gate.transaction() as session:
        assert await session.fetchval("SELECT tokens FROM upstream_state") != -7


async def test_the_limit_is_that_of_the_transaction_alone(database: Database) -> None:
    async with database.transaction(first="SET LOCAL idle_in_transaction_session_timeout = 1234") as session:
        assert await session.fetchval(IDLE_LIMIT) == "1234ms"
    for _ in range(4):  # whichever connection that is
        async with database.statement() as session:
            assert await session.fetchval(IDLE_LIMIT) == "10s"


async def test_what_fails_in_a_transaction_that_begins_so_leaves_nothing(database: Database) -> None:
    async def fail(first: str, sql: str) -> None:
        async with database.transaction(first=first) as session:
            await session.execute("UPDATE upstream_state SET tokens = -7")
            await session.execute(sql)

    for first, sql in (("SELECT 1", "no SQL"), ("no SQL", "SELECT 1")):
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await fail(first, sql)
        async with database.transaction(first="SELECT 1") as session:
            assert await session.fetchval("SELECT tokens FROM upstream_state") != -7
