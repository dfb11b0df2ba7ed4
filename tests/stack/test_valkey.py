import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from app.stack.servers.valkey import EmbeddedValkey
from tests.stack.until import alive, until_count

PASSWORD = "correct-horse-battery"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / 'with "quotes" and spaces', password=PASSWORD)
    await server.start()
    yield server
    await server.stop()


async def test_what_is_promised_about_the_server(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        found = await redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")
    assert found == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
    }
    assert PASSWORD not in Path(f"/proc/{server.pid}/cmdline").read_text()


async def test_a_wrong_password_does_not_open(server: EmbeddedValkey) -> None:
    async with Redis.from_url(server.url.replace(PASSWORD, "wrong")) as redis:
        with pytest.raises(AuthenticationError):
            await redis.ping()


async def test_data_and_url_survive_a_restart(server: EmbeddedValkey) -> None:
    url = server.url
    async with Redis.from_url(url) as redis:
        await redis.set("kept", "42")
    await server.stop()
    await server.start()
    assert server.url == url
    async with Redis.from_url(url) as redis:
        assert await redis.get("kept") == b"42"


async def test_no_acknowledged_write_is_lost_when_it_is_killed(server: EmbeddedValkey) -> None:
    acknowledged = 0

    async def write_until_cut() -> None:
        nonlocal acknowledged
        async with Redis.from_url(server.url) as redis:
            with contextlib.suppress(RedisError, OSError):
                while True:
                    acknowledged = await redis.incr("written")

    for _ in range(2):
        before = acknowledged
        writing = asyncio.create_task(write_until_cut())
        await until_count(lambda: acknowledged, before + 200)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await server.wait() == -signal.SIGKILL
        await writing
        await server.start()
        async with Redis.from_url(server.url) as redis:
            assert int(await redis.get("written")) >= acknowledged


async def test_a_server_left_behind_is_stopped_before_another_starts(server: EmbeddedValkey) -> None:
    left_behind = server.pid
    assert left_behind is not None
    other = EmbeddedValkey(server.directory, password=PASSWORD)
    await other.start()
    assert not alive(left_behind)
    assert await server.wait() == 0
    assert other.pid is not None
    assert alive(other.pid)
    await other.stop()


async def test_another_port_is_taken_where_somebody_else_has_ours(server: EmbeddedValkey) -> None:
    await server.stop()
    port = urlsplit(server.url).port
    again = EmbeddedValkey(server.directory, password=PASSWORD)
    with socket.create_server(("127.0.0.1", port or 0)):
        await again.start()
    assert urlsplit(again.url).port != port
    async with Redis.from_url(again.url) as redis:
        assert await redis.ping()
    await again.stop()
