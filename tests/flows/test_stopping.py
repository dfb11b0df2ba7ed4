"""SIGTERM, as a real API and a real worker take it: nobody who waits is left without an answer, no claim is kept."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from app.core.process.stop_signals import AGAIN_SECONDS
from app.segmind.decide import HELD_MAX, SECOND
from tests.doubles.forwarder import forwarding
from tests.gateway import LATER, Gateway, Process, TenantKey, eventually, opened_gateway
from tests.servers import Urls, temporary_database

LONG = "38"
"""Seconds of a grace or a delay that no test waits for."""
PROMPT_SECONDS = 28.0
"""Below the part of LONG in which requests are answered, and far above what stopping takes on a busy machine."""
PARKED = {"model": "sim-instant", "input": {}, "not_before": LATER}


pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
async def alone(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway without a worker."""
    directory = tmp_path_factory.mktemp("alone")
    async with temporary_database(servers.database, template=servers.template) as url:
        opened = opened_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1, speed=50)
        async with opened as (gateway, [listener]), gateway.api(listener):
            yield gateway


async def until(holds: Callable[[], bool]) -> None:
    async def look() -> bool:
        return holds()

    await eventually(look)


class Jobs:
    """Those of a new tenant, which hang upstream once they are there."""

    def __init__(self, gateway: Gateway, tenant: TenantKey) -> None:
        self.gateway, self.tenant = gateway, tenant

    @classmethod
    async def submitted(cls, gateway: Gateway, number: int) -> Self:
        tenant = await gateway.tenant()
        async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=60) as client:
            for _ in range(number):
                assert (await client.post("/v2/sim-hang", json={})).status_code == 200
        return cls(gateway, tenant)

    async def count(self, condition: str) -> int:
        """How many there are that meet a condition in SQL."""
        sql = f"SELECT count(*) FROM jobs WHERE tenant_id = $1 AND {condition}"
        return int((await self.gateway.sql(sql, self.tenant.id))[0][0])

    async def reach(self, condition: str, number: int) -> None:
        async def look() -> bool:
            return await self.count(condition) == number

        await eventually(look)


async def ended(process: Process) -> None:
    """In order, and promptly."""
    began_at = time.monotonic()
    assert await process.ended() == 0, process.log.read_text()[-2000:]
    assert time.monotonic() - began_at < PROMPT_SECONDS
    assert "Traceback" not in process.log.read_text()


async def test_every_wait_is_answered_with_the_job_as_it_is(stack: Gateway, tenant: TenantKey) -> None:
    async with (
        stack.api(GRACE_SECONDS=LONG) as url,
        httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=60) as client,
    ):
        process = stack.processes[-1]
        parked = str((await client.post("/api/v1/jobs", json=PARKED)).json()["id"])

        async def asked(*request: Any, **more: Any) -> httpx.Response:
            async with httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=60) as own:
                await own.get("/healthz")  # connected
                return await own.request(*request, **more)

        waits: list[Coroutine[Any, Any, httpx.Response]] = [
            asked("GET", f"/api/v1/jobs/{parked}", params={"wait": "60"}),
            asked("POST", "/api/v1/jobs", json=PARKED, headers={"prefer": "wait=300"}),
            asked("POST", "/v1/sim-hang", json={}, headers={"prefer": "wait=300"}),
        ]
        tasks = [asyncio.create_task(wait) for wait in waits]

        async def stored() -> bool:
            rows = await stack.sql("SELECT FROM ops.requests WHERE tenant = $1", tenant.name)
            return len(rows) == 3

        await eventually(stored)
        assert not any(task.done() for task in tasks)
        process.tell_to_stop()
        got, posted, still = await asyncio.gather(*tasks)
        await ended(process)
    assert {answer.headers["connection"] for answer in (got, posted, still)} == {"close"}
    assert (got.status_code, got.json()["id"], got.json()["status"]) == (200, parked, "QUEUED")
    assert (posted.status_code, posted.json()["status"]) == (202, "QUEUED")
    assert (still.status_code, still.json()["code"]) == (504, "still_running")
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=60) as elsewhere:
        answer = await elsewhere.get(f"/v2/requests/{still.json()['request_id']}/status")
        assert (answer.status_code, answer.json()["status"]) in ((200, "QUEUED"), (200, "PROCESSING"))


async def test_a_held_poll_is_answered_with_the_job_as_it_is(stack: Gateway, tenant: TenantKey) -> None:
    async with (
        stack.api(GRACE_SECONDS=LONG) as url,
        httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=60) as client,
    ):
        process = stack.processes[-1]
        parked = str((await client.post("/api/v1/jobs", json=PARKED)).json()["id"])
        for _ in range(20):
            poll = asyncio.create_task(client.get(f"/v2/requests/{parked}/status"))
            done, _ = await asyncio.wait([poll], timeout=1)
            if not done:
                break
            await asyncio.sleep(5)
        assert not poll.done()
        began_at = time.monotonic()
        process.tell_to_stop()
        answer = await poll
        assert time.monotonic() - began_at < HELD_MAX / SECOND - 1.5
        await ended(process)
    assert (answer.status_code, answer.json()["status"], answer.headers["connection"]) == (200, "QUEUED", "close")


async def test_readiness_fails_first_and_a_second_signal_ends_the_delay(stack: Gateway, tenant: TenantKey) -> None:
    async with (
        stack.api(SHUTDOWN_DELAY_SECONDS=LONG, GRACE_SECONDS=LONG) as url,
        httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=60) as client,
    ):
        process = stack.processes[-1]
        parked = str((await client.post("/api/v1/jobs", json=PARKED)).json()["id"])
        told_at = time.monotonic()
        process.tell_to_stop()

        async def unready() -> httpx.Response | None:
            answer = await client.get("/readyz")
            return answer if answer.status_code == 503 else None

        answer = await eventually(unready)
        assert answer.json() == {"status": "unavailable", "process": "stopping"}
        assert (await client.get("/healthz")).status_code == 200
        served = await client.post("/v2/sim-instant", json={})
        assert (served.status_code, served.headers["connection"]) == (200, "close")
        waiting = asyncio.create_task(client.get(f"/api/v1/jobs/{parked}", params={"wait": "60"}))
        await until(lambda: time.monotonic() > told_at + AGAIN_SECONDS + 0.1)
        assert process.running()
        assert not waiting.done()
        process.tell_to_stop()
        assert (await waiting).json()["status"] == "QUEUED"
        await ended(process)


async def test_a_stored_job_is_told_by_its_id_though_the_store_is_away(stack: Gateway, tenant: TenantKey) -> None:
    async with (
        forwarding(stack.database_url) as store,
        stack.api(GRACE_SECONDS=LONG, DATABASE_URL=store.url) as url,
        httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=60) as client,
    ):
        process = stack.processes[-1]
        waiting = asyncio.create_task(client.post("/v1/sim-hang", json={}, headers={"prefer": "wait=300"}))

        async def stored() -> list[Any]:
            return list(await stack.sql("SELECT id FROM jobs WHERE tenant_id = $1", tenant.id))

        [row] = await eventually(stored)
        store.cut()
        process.tell_to_stop()
        answer = await waiting
        await ended(process)
    assert (answer.status_code, answer.json()["code"]) == (504, "still_running")
    assert answer.json()["request_id"] == f"job_{row['id'].hex}"


@pytest.mark.parametrize("command", ["api", "worker"])
async def test_told_to_stop_while_it_starts(stack: Gateway, tmp_path: Path, command: str) -> None:
    """At the first instant at which the signal is handled at all: before that there is nothing to end."""
    arguments = ("api", "--port", "0") if command == "api" else ("worker",)
    process = Process(*arguments, env=stack.settings(GRACE_SECONDS=LONG), log=tmp_path / "log")
    await until(lambda: _catches(process.pid, signal.SIGTERM))
    process.tell_to_stop()
    assert await process.ended() == 0, process.log.read_text()[-2000:]
    assert "Traceback" not in process.log.read_text()


def _catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


async def test_a_worker_records_what_is_on_the_wire(alone: Gateway) -> None:
    began_with = len(alone.book.started_ids())
    late = {"match": "submit", "slug": "sim-hang", "fault": "delay", "seconds": 3}
    async with alone.worker(GRACE_SECONDS=LONG) as worker, alone.faults(late):
        jobs = await Jobs.submitted(alone, 5)
        await jobs.reach("state = 'sending'", 5)
        worker.tell_to_stop()
        await ended(worker)
    assert await jobs.count("state = 'running' AND owner IS NULL AND upstream_id IS NOT NULL") == 5
    assert len(alone.book.started_ids()) == began_with + 5


async def test_a_second_signal_ends_the_grace_of_a_worker(alone: Gateway) -> None:
    late = {"match": "submit", "slug": "sim-hang", "fault": "delay", "seconds": 60}
    async with alone.worker(GRACE_SECONDS=LONG) as worker, alone.faults(late):
        jobs = await Jobs.submitted(alone, 3)
        await jobs.reach("state = 'sending'", 3)
        worker.tell_to_stop()
        told_at = time.monotonic()
        await until(lambda: time.monotonic() > told_at + AGAIN_SECONDS + 0.1)
        assert worker.running()
        worker.tell_to_stop()
        await ended(worker)
    assert await jobs.count("state = 'unknown'") == 3
    sql = "SELECT detail FROM upstream_exchanges JOIN jobs ON jobs.id = job_id WHERE tenant_id = $1"
    assert [row["detail"] for row in await alone.sql(sql, jobs.tenant.id)] == ["shut_down"] * 3
