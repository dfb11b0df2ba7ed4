"""A process whose connections lack their role or time-outs stops with one sentence: at its start, or once Postgres is there."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.core.config.settings import load_settings
from app.main import create_app
from tests.doubles.pgbouncer import pgbouncer
from tests.doubles.pooler import SETTINGS, Pooler, pooling
from tests.gateway import SECRET, Process, eventually

STOP_SECONDS = 60.0


def settings(database_url: str, redis_url: str) -> dict[str, str]:
    return {
        "WAYSTATION_DATABASE_URL": database_url,
        "WAYSTATION_REDIS_URL": redis_url,
        "WAYSTATION_SECRET_KEY": SECRET,
        "WAYSTATION_PUBLIC_URL": "http://127.0.0.1",
        "WAYSTATION_UPSTREAM_URL": "http://127.0.0.1:1",
        "WAYSTATION_GRACE_SECONDS": "1",
        "WAYSTATION_LEASE_SECONDS": "3",
    }


def sentence(log: str) -> str:
    """The one line that a command ends with."""
    lines = [line for line in log.splitlines() if line.startswith("waystation: ")]
    assert len(lines) == 1, log
    assert "Traceback" not in log, log
    return lines[0]


async def ended(process: Process) -> str:
    """The log of a process that has stopped by itself, with exit code 1."""

    async def stopped() -> bool:
        return not process.running()

    await eventually(stopped, seconds=STOP_SECONDS)
    assert await process.stop() == 1
    return process.log.read_text()


@pytest.mark.parametrize("command", [("api", "--port", "0"), ("worker",)])
async def test_a_process_stops_at_its_start(
    database_url: str, redis_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with pooling(database_url) as pooler:
        process = Process(*command, env=settings(pooler.url, redis_url), log=tmp_path / "log")
        try:
            line = sentence(await ended(process))
        finally:
            process.kill()
    assert all(f"{setting} is " in line for setting in SETTINGS if setting != "default_transaction_read_only"), line
    assert "expected waystation_service" in line
    assert "PgBouncer" in line
    assert "WAYSTATION_DATABASE_URL" in line


@pytest.mark.parametrize("command", [("api", "--port", "0"), ("worker",), ("migrate",), ("tenant", "list")])
async def test_a_process_stops_where_transactions_share_sessions(
    database_url: str, redis_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """A real PgBouncer with pool_mode = transaction; nobody else uses its pool."""
    async with pgbouncer(database_url, tmp_path / "pgbouncer") as pooler:
        process = Process(*command, env=settings(pooler.url("waystation_ops"), redis_url), log=tmp_path / "log")
        try:
            line = sentence(await ended(process))
        finally:
            process.kill()
    assert "PgBouncer with pool_mode = session for this database" in line


async def test_the_doctor_and_readiness_say_that_transactions_share_sessions(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pgbouncer(database_url, tmp_path / "pgbouncer") as pooler:
        given = settings(pooler.url("waystation_ops"), redis_url)
        doctor = await asyncio.to_thread(ran, "doctor", environment=given)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        app = create_app(load_settings())
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
        ):
            answer = await client.get("/readyz")
    assert doctor.returncode == 1
    assert "pool_mode = session for this database" in doctor.stdout
    assert answer.status_code == 503
    assert answer.json()["database"] == "misconfigured"
    assert "pool_mode = session for this database" in answer.json()["detail"]


def ran(*command: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *command],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=STOP_SECONDS,
    )


@pytest.mark.parametrize("command", [("api", "--port", "0"), ("worker",)])
async def test_a_process_stops_once_postgres_is_there(
    database_url: str, redis_url: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    async with pooling(database_url, {"default_transaction_read_only"}) as pooler:
        pooler.away = True
        process = Process(*command, env=settings(pooler.url, redis_url), log=tmp_path / "log")
        try:
            # it has tried in vain, and goes on
            await eventually(lambda: _found(process, "heartbeat.missed"), seconds=STOP_SECONDS)
            assert process.running()
            pooler.away = False
            line = sentence(await ended(process))
        finally:
            process.kill()
    assert "default_transaction_read_only is off, expected on" in line


async def _found(process: Process, event: str) -> bool:
    return event in process.log.read_text()


async def test_a_process_stops_whose_connections_turn_wrong(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """The same URL leads to a pooler only later: each connection is proven, not only the first."""
    dropped: set[str] = set()
    async with pooling(database_url, dropped) as pooler:
        process = Process("worker", env=settings(pooler.url, redis_url), log=tmp_path / "log")
        try:
            await eventually(lambda: _connected(pooler), seconds=STOP_SECONDS)
            assert process.running()
            dropped |= {"role"}
            pooler.cut()
            line = sentence(await ended(process))
        finally:
            process.kill()
    assert "expected waystation_service" in line


async def _connected(pooler: Pooler) -> bool:
    return pooler.connections >= 2


async def test_readiness_says_it(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pooling(database_url) as pooler:
        for name, value in settings(pooler.url, redis_url).items():
            monkeypatch.setenv(name, value)
        app = create_app(load_settings())
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
        ):
            answer = await client.get("/readyz")
            refused = await client.get("/api/v1/jobs", headers={"x-api-key": "ws_live_" + "0" * 8 + "_" + "0" * 32})
    assert answer.status_code == 503
    assert answer.json()["database"] == "misconfigured"
    assert "expected waystation_service" in answer.json()["detail"]
    assert refused.status_code in (401, 503)


@pytest.mark.parametrize("command", [("tenant", "list"), ("verify",), ("worker",)])
async def test_every_command_says_it(database_url: str, redis_url: str, command: tuple[str, ...]) -> None:
    async with pooling(database_url) as pooler:
        done = await asyncio.to_thread(ran, *command, environment=settings(pooler.url, redis_url))
    assert done.returncode == 1
    assert "expected waystation_service" in sentence(done.stderr)


async def test_the_doctor_says_it(database_url: str, redis_url: str) -> None:
    async with pooling(database_url, {"default_transaction_read_only"}) as pooler:
        done = await asyncio.to_thread(ran, "doctor", environment=settings(pooler.url, redis_url))
    assert done.returncode == 1
    assert "default_transaction_read_only is off, expected on" in done.stdout
    assert "PgBouncer" in done.stdout
