"""deploy/pgbouncer with a real PgBouncer: dashboards read the views through it, and nothing else goes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from app.stack.identity import choose_identity
from app.stack.process import start_process
from tests.deploy.tools import DEPLOY, loopback, tool
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
    program = tool("pgbouncer", comes_with="Debian's package `pgbouncer`; no registry of Python has it")
    name, password, kept = dashboard
    real, address = urlsplit(database_url), loopback()
    text = (DEPLOY / "pgbouncer/pgbouncer.ini").read_text()
    for old, new in {
        "host=postgres port=5432 dbname=waystation": f"host={real.hostname} port={real.port} dbname={real.path[1:]}",
        "listen_addr = *": f"listen_addr = {address}",
        "/etc/pgbouncer": str(tmp_path),
    }.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "pgbouncer.ini").write_text(text)
    (tmp_path / "userlist.txt").write_text(f'"{name}" "{kept}"\n')
    identity = choose_identity(tmp_path, Path(program))  # it refuses to be root
    with (tmp_path / "log").open("wb") as log:
        process = start_process(
            [program, str(tmp_path / "pgbouncer.ini")], log=log.fileno(), death_signal=signal.SIGKILL,
            environment={"PATH": os.environ["PATH"]}, identity=identity,
        )  # fmt: skip

    async def listens() -> bool:
        assert process.returncode is None, (tmp_path / "log").read_text()
        try:
            _, writer = await asyncio.open_connection(address, 6432)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually(listens, seconds=SIGNS_SECONDS)
        yield f"postgresql://{name}:{password}@{address}:6432/waystation"
    finally:
        await process.stop([(signal.SIGINT, 10)])


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
    assert "such as PgBouncer, does not take our start-up parameters" in process.log.read_text()
