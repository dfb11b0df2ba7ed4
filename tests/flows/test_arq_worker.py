"""`arq app.worker.WorkerSettings`, as who knows arq starts it: alone, beside `waystation worker`, and without Redis."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.core.errors import WrongSchema
from app.core.redis.arq_redis import QUEUE, arq_pool
from app.worker import ARQ_POLL_SECONDS
from tests.doubles.forwarder import Forwarder, forwarding
from tests.gateway import SECRET, Gateway, Process, TenantKey, ended, eventually, opened_gateway
from tests.servers import Urls, temporary_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ARQ = (sys.executable, "-m", "arq")
SETTINGS = "app.worker.WorkerSettings"


@pytest.fixture(scope="module")
async def redis(redis_url: str) -> AsyncIterator[Forwarder]:
    async with forwarding(redis_url) as forwarder:
        yield forwarder


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis: Forwarder, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One without a worker."""
    directory = tmp_path_factory.mktemp("arq")
    async with temporary_database(servers.database, template=servers.template) as url:
        opened = opened_gateway(database_url=url, redis_url=redis.url, directory=directory, apis=1, speed=50)
        async with opened as (gateway, [listener]), gateway.api(listener):
            yield gateway


@contextlib.asynccontextmanager
async def arq_worker(gateway: Gateway, log: Path, **changes: str) -> AsyncIterator[Process]:
    """It has started, and ends in order. What psql would need in the same shell is set."""
    environment = gateway.settings(**changes) | {"PGSSLMODE": "verify-full"}
    process = Process(SETTINGS, env=environment, log=log, program=ARQ)

    async def started() -> bool:
        assert process.running(), log.read_text()
        return "worker.started" in log.read_text()

    try:
        await eventually(started)
        yield process
        assert await process.stop() == 0, log.read_text()
    finally:
        process.kill()
    assert "worker.stopped" in log.read_text()
    assert "Traceback" not in log.read_text()


async def check(gateway: Gateway) -> int:
    """The exit code of `arq --check`."""
    command = [*ARQ, "--check", SETTINGS]
    environment = {**os.environ, **gateway.settings()}
    done = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, timeout=90)
    assert b"Traceback" not in done.stderr
    return done.returncode


async def completed(gateway: Gateway, tenant: TenantKey, number: int) -> None:
    """So many jobs, submitted now, are sent once each and complete."""
    async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=60) as client:
        answers = [await client.post("/api/v1/jobs", json={"model": "sim-instant", "input": {}}) for _ in range(number)]
        jobs = await asyncio.gather(*(ended(client, answer.json()["id"]) for answer in answers))
    assert {job["status"] for job in jobs} == {"COMPLETED"}


async def test_it_runs_jobs_and_answers_its_check(gateway: Gateway, tmp_path: Path) -> None:
    assert await check(gateway) == 1
    async with arq_worker(gateway, tmp_path / "log"):
        await completed(gateway, await gateway.tenant(), 3)

        async def checked() -> bool:
            return await check(gateway) == 0

        await eventually(checked)


async def test_both_run_side_by_side(gateway: Gateway, tmp_path: Path) -> None:
    tenant = await gateway.tenant()
    async with gateway.worker():
        async with arq_worker(gateway, tmp_path / "log"):
            await completed(gateway, tenant, 20)
            assert await check(gateway) == 0
        await completed(gateway, tenant, 3)
    async with arq_worker(gateway, tmp_path / "next"):
        await completed(gateway, tenant, 3)
    assert len(await gateway.sql("SELECT id FROM jobs WHERE tenant_id = $1", tenant.id)) == 26
    attempts = "SELECT attempts.attempt FROM attempts JOIN jobs ON jobs.id = attempts.job_id WHERE jobs.tenant_id = $1"
    assert [row["attempt"] for row in await gateway.sql(attempts, tenant.id)] == [1] * 26


async def test_it_starts_works_and_stops_in_order_without_redis(
    gateway: Gateway, redis: Forwarder, tmp_path: Path
) -> None:
    tenant = await gateway.tenant()
    redis.cut()
    try:
        async with arq_worker(gateway, tmp_path / "log") as process:
            await completed(gateway, tenant, 2)
            for trouble in (redis.cut, redis.hush):
                redis.mend()
                await completed(gateway, tenant, 20)
                trouble()
                await completed(gateway, tenant, 2)
            assert process.running()
    finally:
        redis.mend()


async def test_what_is_rung_while_it_stops_is_left_to_others(gateway: Gateway, redis_url: str, tmp_path: Path) -> None:
    late = {"match": "submit", "slug": "sim-hang", "fault": "delay", "seconds": 60}
    bell = arq_pool(redis_url)
    async with arq_worker(gateway, tmp_path / "log", GRACE_SECONDS="38") as process, gateway.faults(late):
        tenant = await gateway.tenant()
        async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=60) as client:
            assert (await client.post("/v2/sim-hang", json={})).status_code == 200

        async def state(name: str) -> bool:
            return bool(
                await gateway.sql("SELECT FROM jobs WHERE tenant_id = $1 AND state::text = $2", tenant.id, name)
            )

        await eventually(partial(state, "sending"))
        process.tell_to_stop()

        async def stopping() -> bool:
            return "worker.stopping" in process.log.read_text()

        await eventually(stopping)
        await bell.enqueue_job("poll", _job_id="poll")
        await asyncio.sleep(4 * ARQ_POLL_SECONDS)  # in which it would have found it
        assert await bell.zscore(QUEUE, "poll") is not None
        assert process.running()
        process.tell_to_stop()  # again: in a hurry
        assert await process.ended() == 0, process.log.read_text()
        assert "worker.stop_forced" in process.log.read_text()
        assert await state("unknown")
    await bell.aclose(close_connection_pool=True)


async def test_a_schema_that_does_not_fit_ends_it_with_its_exit_code(
    gateway: Gateway, servers: Urls, tmp_path: Path
) -> None:
    async with temporary_database(servers.database, template=servers.template) as url:
        connection = await asyncpg.connect(url)
        await connection.execute("UPDATE alembic_version SET version_num = '9999', serves_from = '9999'")
        await connection.close()
        process = Process(SETTINGS, env=gateway.settings(DATABASE_URL=url), log=tmp_path / "log", program=ARQ)
        assert await process.ended() == WrongSchema.exit_code, process.log.read_text()
    assert "waystation: the database" in process.log.read_text().splitlines()[-1]
    assert "Traceback" not in process.log.read_text()


@pytest.mark.parametrize("options", [("--burst",), ("--watch", ".")])
async def test_options_that_mean_little_here(gateway: Gateway, tmp_path: Path, options: tuple[str, ...]) -> None:
    process = Process(SETTINGS, *options, env=gateway.settings(), log=tmp_path / "log", program=ARQ)
    code, told = await process.ended(), process.log.read_text()
    if options == ("--burst",):
        assert (code, "worker.stopped" in told) == (0, True)
    else:
        assert (code, told.splitlines()[-1].split(":")[0]) == (2, "waystation")
        assert "--watch is not supported" in told
    assert "Traceback" not in told


async def test_a_wrong_setting_is_named(gateway: Gateway) -> None:
    environment = {**os.environ, **gateway.settings(REDIS_URL="http://nothing")}
    done = await asyncio.to_thread(
        subprocess.run, [*ARQ, SETTINGS], env=environment, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 1
    assert "WAYSTATION_REDIS_URL: expected" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr
    assert done.stderr.count("waystation: ") == 1
