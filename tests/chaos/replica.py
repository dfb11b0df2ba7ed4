"""A primary and its streaming replica, on the embedded programs, behind one address that can be turned to the other."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from app.stack.servers.binaries import find_postgres
from app.stack.servers.postgres import EmbeddedPostgres
from tests.chaos.stack import is_alive, until, until_async
from tests.doubles.forwarder import Forwarder, forwarding

PASSWORD = "only-tests-know-this-one"


class Standby(EmbeddedPostgres):
    """One that is ready when it can be read."""

    def _status(self, pid: int) -> str | None:
        found = super()._status(pid)
        return "ready" if found == "standby" else found


@dataclass(frozen=True, slots=True)
class Pair:
    """`url`: the one address."""

    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    forwarder: Forwarder

    @property
    def url(self) -> str:
        return self.forwarder.url

    async def make_synchronous(self) -> None:
        """Commits wait for the replica from now on."""
        await _alter(self.primary.url, "synchronous_standby_names", "*")

        async def is_so() -> bool:
            rows = await ask(self.primary.url, "SELECT sync_state FROM pg_stat_replication")
            return [row["sync_state"] for row in rows] == ["sync"]

        await until_async(is_so, "the replica is synchronous")

    async def fall_behind(self) -> None:
        """The replica hears nothing more."""
        await _alter(self.standby.url, "primary_conninfo", "host=127.0.0.1 port=1")

        async def is_so() -> bool:
            return not await ask(self.primary.url, "SELECT FROM pg_stat_replication")

        await until_async(is_so, "the replica is cut off")

    async def fail_over(self) -> None:
        """The primary dies, the replica takes its place, and the address leads there."""
        pid = self.primary.pid
        assert pid is not None
        os.kill(pid, signal.SIGQUIT)
        self.forwarder.cut()
        await until(lambda: not is_alive(pid), "the primary is dead")
        assert await ask(self.standby.url, "SELECT pg_promote()")
        self.forwarder.turn_to(self.standby.url)


async def ask(url: str, sql: str) -> list[asyncpg.Record]:
    """Rows, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def _alter(url: str, name: str, value: str) -> None:
    await ask(url, f"ALTER SYSTEM SET {name} = '{value}'")
    await ask(url, "SELECT pg_reload_conf()")


async def _copied(primary: EmbeddedPostgres, directory: Path) -> None:
    directory.mkdir()
    port = urlsplit(primary.url).port
    program = find_postgres().bin / "pg_basebackup"
    process = await asyncio.create_subprocess_exec(
        *(str(program), "-D", str(directory / "data"), "-R", "-X", "stream", "-c", "fast", "-w"),
        *("-d", f"host=127.0.0.1 port={port} user=waystation password={PASSWORD}"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


@asynccontextmanager
async def replicated(directory: Path) -> AsyncIterator[Pair]:
    """Both servers, for the length of the block."""
    primary = EmbeddedPostgres(directory / "primary", password=PASSWORD)
    standby = Standby(directory / "standby", password=PASSWORD)
    await primary.start()
    try:
        await _copied(primary, standby.directory)
        await standby.start()
        async with forwarding(primary.url) as forwarder:
            yield Pair(primary, standby, forwarder)
    finally:
        for server in (standby, primary):
            with suppress(ProcessLookupError):
                await server.stop()
