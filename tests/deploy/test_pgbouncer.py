"""deploy/pgbouncer with a real PgBouncer: dashboards read the views through their database, and nothing else goes there.
What processes do with theirs: tests/core/test_pgbouncer.py, tests/flows/test_pgbouncer.py."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.doubles.pgbouncer import pgbouncer
from tests.gateway import SECRET, Process, eventually

SIGNS_SECONDS = 60.0


@pytest.fixture
async def dashboard(database_url: str) -> AsyncIterator[tuple[str, str, str]]:
    """A dashboard's login: its name, its password, and what Postgres keeps of that."""
    name, password = f"dashboard_{uuid4().hex}", uuid4().hex
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE waystation_readonly")
        yield name, password, await owner.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", name)
    finally:
        await owner.execute(f"DROP ROLE {name}")
        await owner.close()


@pytest.fixture
async def pooled_url(database_url: str, dashboard: tuple[str, str, str], tmp_path: Path) -> AsyncIterator[str]:
    """The dashboard's URL through PgBouncer."""
    name, password, kept = dashboard
    async with pgbouncer(database_url, tmp_path / "pgbouncer", logins={name: kept}) as pooler:
        yield pooler.url("waystation_ops", user=name, password=password)


async def test_dashboards_read_the_views_and_nothing_else(pooled_url: str) -> None:
    connections = [await asyncpg.connect(pooled_url, statement_cache_size=0) for _ in range(12)]
    try:
        found = await asyncio.gather(*(one.fetch("SELECT * FROM ops.upstream_now") for one in connections))
        assert [len(rows) for rows in found] == [1] * 12
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connections[0].fetch("SELECT * FROM public.jobs")
    finally:
        for one in connections:
            await one.close()


async def test_our_processes_stop_at_it(pooled_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": pooled_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": SECRET,
        "PUBLIC_URL": "http://127.0.0.1",
    }
    environment = {f"WAYSTATION_{name}": value for name, value in settings.items()}
    process = Process("worker", env=environment, log=tmp_path / "worker")

    async def ended() -> bool:
        return not process.running()

    try:
        await eventually(ended, seconds=SIGNS_SECONDS)
        assert await process.stop() == 1
    finally:
        process.kill()
    assert "PgBouncer with pool_mode = session for this database" in process.log.read_text()
