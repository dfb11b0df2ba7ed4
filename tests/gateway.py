"""The gateway as it is deployed: API processes, a worker and the upstream simulator, on sockets of their own."""

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from app.core.database.db import Database
from app.ledger.operations import grant
from app.simulator.book import Book
from app.tenants.models import Scope
from app.tenants.operations import create_key, create_tenant, update_tenant
from tests.servers import redis_of_a_gateway

SECRET = "a-secret-that-only-tests-know-0123456789"
UPSTREAM_KEY = "SG_3ec0a235721add59"
READY_SECONDS = 240.0
POOLED = os.environ.get("FLOWS_POOLED") == "1"
"""Whether every gateway reaches its database through PgBouncer, unless its test says otherwise."""
FINAL = ("COMPLETED", "FAILED", "CANCELED")
LATER = (datetime.now(UTC) + timedelta(days=20)).strftime("%Y-%m-%dT00:00:00Z")
"""A `not_before` that keeps a job queued for weeks."""


class Process:
    """One of our commands, with its output in a file."""

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str],
        log: Path,
        fds: Iterable[int] = (),
        program: Sequence[str] = (sys.executable, "-m", "app.cli"),
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*program, *arguments],
                env={**_inherited(), **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=tuple(fds),
            )
        self.pid = self._popen.pid

    async def stop(self) -> int:
        """SIGTERM, and wait; its exit code."""
        self.tell_to_stop()
        return await self.ended()

    def tell_to_stop(self) -> None:
        """SIGTERM."""
        self._popen.terminate()

    async def ended(self) -> int:
        """Wait; its exit code."""
        return await asyncio.to_thread(self._popen.wait, READY_SECONDS)

    def kill(self) -> None:
        """SIGKILL, and wait; also of one that is dead already."""
        self._popen.kill()
        self._popen.wait()

    def running(self) -> bool:
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None: it runs."""
        return self._popen.poll()


def listening() -> socket.socket:
    """A listening socket on a free port."""
    return socket.create_server(("127.0.0.1", 0), backlog=512)


def url_of(listener: socket.socket) -> str:
    """The URL of what listens there."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A tenant with one key."""

    name: str
    id: UUID
    key: str = field(repr=False)
    key_id: UUID

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.key}


class Gateway:
    """Where everything is. `url` is PUBLIC_URL and the first API process; `urls` are all of them."""

    def __init__(self, *, database_url: str, redis_url: str, directory: Path) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.directory = directory
        self.book_path = directory / "book"
        self.urls: list[str] = []
        self.upstream_url = ""
        self.processes: list[Process] = []
        """Those that run, in the order of their start."""
        self._logs = itertools.count()
        self.database: Database

    @property
    def url(self) -> str:
        return self.urls[0]

    def settings(self, **changes: str) -> dict[str, str]:
        """The environment of a process of ours; `changes` by the setting's name without its prefix."""
        settings = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "UPSTREAM_URL": self.upstream_url,
            "UPSTREAM_HISTORY_URL": "",  # unknown jobs stay so, unless a test wants them resolved
            "UPSTREAM_API_KEY": UPSTREAM_KEY,
            "SECRET_KEY": SECRET,
            "UNPRICED_MODELS": "pass",
            "WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
            "GRACE_SECONDS": "3",
            "PUBLIC_URL": self.url,
            **changes,
        }
        return {f"WAYSTATION_{name}": value for name, value in settings.items()}

    @contextlib.asynccontextmanager
    async def api(self, listener: socket.socket | None = None, **changes: str) -> AsyncIterator[str]:
        """One more API process; its URL."""
        with listener or listening() as held:
            url = url_of(held)
            process = Process(
                "api",
                "--fd",
                str(held.fileno()),
                env=self.settings(**changes),
                log=self._log("api"),
                fds=[held.fileno()],
            )
        async with self._kept(process):
            async with httpx.AsyncClient(timeout=60) as client:
                await eventually(lambda: _answers(client, url, process))
            yield url

    @contextlib.asynccontextmanager
    async def worker(self, **changes: str) -> AsyncIterator[Process]:
        """One more worker process."""
        async with self._kept(Process("worker", env=self.settings(**changes), log=self._log("worker"))) as process:
            yield process

    @contextlib.asynccontextmanager
    async def simulator(self, *, speed: float) -> AsyncIterator[str]:
        """The upstream; its URL."""
        arguments = ("--port", "0", "--speed", str(speed), "--book", str(self.book_path), "--api-key", UPSTREAM_KEY)
        process = Process("simulator", *arguments, env={}, log=self._log("simulator"))
        async with self._kept(process):
            yield await eventually(lambda: _announced(process))

    @contextlib.asynccontextmanager
    async def _kept(self, process: Process) -> AsyncIterator[Process]:
        self.processes.append(process)
        try:
            yield process
        finally:
            self.processes.remove(process)
            await process.stop()

    def _log(self, kind: str) -> Path:
        return self.directory / f"{kind}-{next(self._logs)}.log"

    async def tenant(
        self,
        *,
        scopes: Iterable[Scope] | None = None,
        suspended: bool = False,
        credits_micro: int = 1_000_000_000,
        **limits: int,
    ) -> TenantKey:
        """A new tenant with a key, a thousand credits unless it is to have others, and limits that nobody notices."""
        name = f"team-{uuid4().hex[:12]}"
        async with self.database.transaction() as session:
            tenant = await create_tenant(session, name=name)
            wide: Any = {"rate_per_minute": 600_000, "burst": 10_000, **limits}
            await update_tenant(session, tenant_id=tenant.id, **wide)
            key, text = await create_key(session, tenant_id=tenant.id, secret=SECRET.encode(), scopes=scopes)
            if credits_micro:
                await grant(session, tenant_id=tenant.id, amount_micro=credits_micro, reference="test")
            if suspended:
                await session.execute("UPDATE tenants SET suspended_at = now() WHERE id = $1", tenant.id)
        return TenantKey(name, tenant.id, text, key.id)

    async def sql(self, query: str, *args: object) -> list[asyncpg.Record]:
        """Rows, as the owner sees them."""
        connection = await asyncpg.connect(self.database_url)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *args)
            return rows
        finally:
            await connection.close()

    @property
    def book(self) -> Book:
        """What the upstream has seen, up to now."""
        return Book.read(self.book_path)

    @contextlib.asynccontextmanager
    async def faults(self, *rules: Mapping[str, Any]) -> AsyncIterator[None]:
        """Fault rules in force for a while, in place of all others; each should name a slug of its own test."""
        async with httpx.AsyncClient(base_url=self.upstream_url, timeout=60) as client:
            answer = await client.put("/_simulator/faults", json=list(rules))
            assert answer.status_code == 200, answer.text
            try:
                yield
            finally:
                await client.delete("/_simulator/faults")

    async def configure_upstream(self, **changes: Any) -> None:
        """Change settings of the simulator."""
        async with httpx.AsyncClient(base_url=self.upstream_url, timeout=60) as client:
            answer = await client.patch("/_simulator/config", json=changes)
            assert answer.status_code == 200, answer.text


async def _answers(client: httpx.AsyncClient, url: str, process: Process) -> bool:
    assert process.running(), process.log.read_text()[-2000:]
    try:
        return (await client.get(f"{url}/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def _announced(process: Process) -> str | None:
    assert process.running(), process.log.read_text()[-2000:]
    _, _, rest = process.log.read_text().partition("the simulator listens at ")
    return rest.split()[0] if rest.endswith("\n") or len(rest.split()) > 1 else None


async def eventually(look: Any, *, seconds: float = READY_SECONDS, gap_seconds: float = 0.02) -> Any:
    """The first truthy answer of an async look; AssertionError once `seconds` are over."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + seconds
    while not (found := await look()):
        assert loop.time() < give_up_at, f"not within {seconds} s"
        await asyncio.sleep(gap_seconds)
    return found


async def ended(client: httpx.AsyncClient, job_id: str, *, seconds: float = READY_SECONDS) -> dict[str, Any]:
    """The job on the native surface, once it has ended."""

    async def look() -> dict[str, Any] | None:
        answer = await client.get(f"/api/v1/jobs/{job_id}?wait=5")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = json.loads(answer.content)
        return job if job["status"] in FINAL else None

    job: dict[str, Any] = await eventually(look, seconds=seconds)
    return job


@contextlib.asynccontextmanager
async def _reached(database_url: str, directory: Path, *, pooled: bool) -> AsyncIterator[str]:
    """The URL through which the database is reached."""
    if not pooled:
        yield database_url
        return
    from tests.doubles.pgbouncer import pgbouncer  # it needs this module

    async with pgbouncer(database_url, directory / "pgbouncer") as pooler:
        yield pooler.url()


@contextlib.asynccontextmanager
async def opened_gateway(
    *, database_url: str, redis_url: str, directory: Path, apis: int, speed: float, pooled: bool = POOLED
) -> AsyncIterator[tuple[Gateway, list[socket.socket]]]:
    """A gateway whose simulator runs, and the listeners of API processes that are still to be started, as are workers.
    `pooled`: through PgBouncer."""
    async with contextlib.AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(_reached(database_url, directory, pooled=pooled))
        redis_url = redis_of_a_gateway(redis_url)
        gateway = Gateway(database_url=database_url, redis_url=redis_url, directory=directory)
        gateway.database = await Database.open(database_url, name="tests", writers_max=2, readers_max=2)
        stack.push_async_callback(gateway.database.close)
        gateway.upstream_url = await stack.enter_async_context(gateway.simulator(speed=speed))
        listeners = [listening() for _ in range(apis)]
        gateway.urls.extend(url_of(listener) for listener in listeners)
        yield gateway, listeners


@contextlib.asynccontextmanager
async def running_gateway(
    *,
    database_url: str,
    redis_url: str,
    directory: Path,
    apis: int = 2,
    speed: float = 50.0,
    pooled: bool = POOLED,
) -> AsyncIterator[Gateway]:
    """Two API processes, a worker and a simulator, healthy on entry and gone on exit."""
    opened = opened_gateway(
        database_url=database_url,
        redis_url=redis_url,
        directory=directory,
        apis=apis,
        speed=speed,
        pooled=pooled,
    )
    async with opened as (gateway, listeners), contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(gateway.worker())
        await asyncio.gather(*(stack.enter_async_context(gateway.api(listener)) for listener in listeners))
        yield gateway
