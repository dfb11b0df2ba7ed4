"""The doctor finds what is wrong, says how to mend it, and keeps secrets to itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from app.core.database.db import Database
from app.core.ids import new_id
from app.core.process.heartbeat import beat
from tests.command import run
from tests.doubles.raw_server import answer
from tests.servers import Urls, with_path
from tests.test_cli import SECRET_KEY


@pytest.fixture
async def upstream() -> AsyncIterator[str]:
    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"{}", "404 Not Found"))
        writer.close()

    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.fixture
def settings(url: str, redis_url: str, upstream: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url, "REDIS_URL": redis_url, "UPSTREAM_URL": upstream, "SECRET_KEY": SECRET_KEY,
        "PUBLIC_URL": "http://localhost",
    }  # fmt: skip


async def examined(settings: dict[str, str], code: int) -> dict[str, dict[str, Any]]:
    done = await asyncio.to_thread(run, "doctor", "--json", **settings)
    assert (done.returncode, done.stderr) == (code, "")
    told = json.loads(done.stdout)
    assert told["ok"] == (code == 0)
    return {one["name"]: one for one in told["findings"]}


async def test_all_is_well(database: Database, settings: dict[str, str]) -> None:
    async with database.statement() as session:
        await beat(session, process_id=new_id(), kind="worker")
    found = await examined(settings, 0)
    assert list(found) == [
        "settings", "database", "durability", "clock", "migrations", "workers", "books", "restore", "redis", "upstream",
    ]  # fmt: skip
    assert all(one["mend"] is None for one in found.values())
    said = (await asyncio.to_thread(run, "doctor", **settings)).stdout.splitlines()
    assert said[-1] == "no problems found"
    assert len(said) == 11


async def test_somebody_else_uses_the_upstream_key(database: Database, settings: dict[str, str]) -> None:
    async with database.transaction() as session:
        await beat(session, process_id=new_id(), kind="worker")
        await session.execute(
            "INSERT INTO reconciliations (since, until, finished_at, result)"
            " VALUES (now() - interval '1 day', now(), now(), 'differs')"
        )
        await session.execute(
            "INSERT INTO discrepancies (kind, subject, happened_at)"
            " VALUES ('not_ours', 'a', now()), ('not_ours', 'b', now() - interval '8 days'), ('cost', 'a', now())"
        )
    found = await examined(settings, 1)
    assert [name for name, one in found.items() if one["mend"]] == ["books"]
    assert "3 discrepancies open; 1 requests" in found["books"]["said"]


async def test_what_is_away(settings: dict[str, str]) -> None:
    away = {"DATABASE_URL": "postgresql://u:hush-hush@127.0.0.1:1/x", "REDIS_URL": "redis://:hush-hush@127.0.0.1:1"}
    found = await examined(settings | away | {"UPSTREAM_URL": "http://127.0.0.1:1", "SECRET_KEY": "short"}, 1)
    assert {name for name, one in found.items() if one["mend"]} == {"settings", "database", "redis", "upstream"}
    assert "SECRET_KEY" in found["settings"]["said"]
    assert "hush-hush" not in json.dumps(found)


async def test_a_login_that_is_refused(servers: Urls, settings: dict[str, str]) -> None:
    wrong = {
        "DATABASE_URL": with_path(servers.database, "no_such_database"),
        "REDIS_URL": with_path(servers.redis, "9999"),
    }
    found = await examined(settings | wrong, 1)
    assert {name for name, one in found.items() if one["mend"]} == {"database", "redis"}
    assert 'WAYSTATION_DATABASE_URL: the database refuses: database "no_such_database"' in found["database"]["said"]
    assert "WAYSTATION_REDIS_URL" in found["redis"]["mend"]


async def test_what_is_wrong(url: str, settings: dict[str, str], redis_url: str) -> None:
    owner = await asyncpg.connect(url)
    role, base = await owner.fetchrow("SELECT quote_ident(session_user), quote_ident(current_database())")
    await owner.execute(f"ALTER ROLE {role} IN DATABASE {base} SET synchronous_commit = off")
    await owner.execute("UPDATE alembic_version SET version_num = '0000'")
    await owner.close()
    async with Redis.from_url(redis_url) as redis:
        before = (await redis.config_get("maxmemory-policy"))["maxmemory-policy"]
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = await examined(settings, 1)
        finally:
            await redis.config_set("maxmemory-policy", before)
    assert {name for name, one in found.items() if one["mend"]} == {"durability", "migrations", "workers", "redis"}
    assert "synchronous_commit = on" in found["durability"]["mend"]
    assert "waystation migrate" in found["migrations"]["mend"]
    assert "noeviction" in found["redis"]["mend"]


async def test_a_database_without_tables(servers: Urls, settings: dict[str, str]) -> None:
    found = await examined(settings | {"DATABASE_URL": servers.database}, 1)
    assert [name for name, one in found.items() if "waystation migrate" in (one["mend"] or "")] == ["migrations"]
