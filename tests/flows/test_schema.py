"""Processes that meet a schema which is not theirs: older, newer, or no longer for them."""

import asyncio
import json
import socket
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.core.database.schema import head_revision
from app.core.errors import WrongSchema
from tests.command import run
from tests.conftest import NewDatabase
from tests.flows.test_pooler import sentence, settings
from tests.gateway import SECRET, Process, eventually, listening, url_of


async def _set(url: str, version: str, serves_from: str) -> None:
    owner = await asyncpg.connect(url)
    await owner.execute("UPDATE alembic_version SET version_num = $1, serves_from = $2", version, serves_from)
    await owner.close()


class Pair:
    """An API and a worker on one database."""

    def __init__(self, url: str, redis_url: str, directory: Path) -> None:
        self.listener: socket.socket = listening()
        fd = self.listener.fileno()
        env = settings(url, redis_url)
        self.processes = [
            Process("api", "--fd", str(fd), env=env, log=directory / "api", fds=[fd]),
            Process("worker", env=env, log=directory / "worker"),
        ]

    async def readiness(self) -> dict[str, str]:
        async with httpx.AsyncClient(base_url=url_of(self.listener), timeout=60) as client:
            body: dict[str, str] = (await client.get("/readyz")).json()
            return body

    async def submitted(self, key: str) -> int:
        """The status of a submit."""
        async with httpx.AsyncClient(base_url=url_of(self.listener), timeout=60) as client:
            return (await client.post("/v2/sim-echo", json={}, headers={"x-api-key": key})).status_code

    async def logged(self, event: str) -> None:
        """Wait until both have."""

        async def both() -> bool:
            assert all(process.running() for process in self.processes)
            return all(event in process.log.read_text() for process in self.processes)

        await eventually(both)

    async def stopped(self) -> list[str]:
        """The sentences with which both have stopped by themselves, with the exit code for that."""

        async def ended() -> bool:
            return not any(process.running() for process in self.processes)

        await eventually(ended)
        assert [await process.stop() for process in self.processes] == [WrongSchema.exit_code] * 2
        return [sentence(process.log.read_text()) for process in self.processes]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self.listener.close()


async def test_processes_that_are_early_wait_for_migrate(
    new_database: NewDatabase, redis_url: str, tmp_path: Path
) -> None:
    url = await new_database()
    given = {"DATABASE_URL": url, "SECRET_KEY": SECRET}
    assert (await asyncio.to_thread(run, "tenant", "create", "team", **given)).returncode == 0
    key = json.loads((await asyncio.to_thread(run, "key", "create", "team", "--json", **given)).stdout)["key"]
    await _set(url, "0014", "0014")
    pair = Pair(url, redis_url, tmp_path)
    try:
        await pair.logged("schema.outdated")
        body = await pair.readiness()
        assert (body["database"], body["migrations"]) == ("ok", "behind")
        assert "run `waystation migrate`" in body["detail"]
        assert await pair.submitted(key) == 503
        await _set(url, head_revision(), "0014")
        await pair.logged("schema.compatible")
        assert (await pair.readiness())["status"] == "ready"
        assert await pair.submitted(key) == 404  # of a tenant that exists, for a model that does not
        await _set(url, "9999", "0014")
        assert (await pair.readiness())["status"] == "ready"
        await _set(url, "9999", "9999")
        assert all("run a newer release" in line for line in await pair.stopped())
    finally:
        pair.close()


@pytest.mark.slow
async def test_processes_stop_that_no_migrate_follows(
    new_database: NewDatabase, redis_url: str, tmp_path: Path
) -> None:
    url = await new_database()
    await _set(url, "0014", "0014")
    pair = Pair(url, redis_url, tmp_path)
    try:
        lines = await pair.stopped()
    finally:
        pair.close()
    assert all("is at revision 0014" in line and "run `waystation migrate`" in line for line in lines)


@pytest.mark.parametrize("kind", ["api", "worker"])
async def test_a_process_that_is_late_stops_at_once(
    new_database: NewDatabase, redis_url: str, tmp_path: Path, kind: str
) -> None:
    url = await new_database()
    await _set(url, "9999", "9999")
    port = ("--port", "0") if kind == "api" else ()
    process = Process(kind, *port, env=settings(url, redis_url), log=tmp_path / kind)
    try:

        async def ended() -> bool:
            return not process.running()

        await eventually(ended)
        assert await process.stop() == WrongSchema.exit_code
    finally:
        process.kill()
    assert "supports releases from revision 9999 on" in sentence(process.log.read_text())
