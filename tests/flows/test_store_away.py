"""Postgres or Redis away for a while: clear 503s for submits, patience for reads, and nothing else."""

import asyncio

import httpx
import pytest

from tests.doubles.forwarder import forwarding
from tests.gateway import Gateway, TenantKey, ended, eventually
from tests.stopwatch import Stopwatch


@pytest.mark.slow
async def test_submits_are_503_and_reads_wait_while_postgres_is_away(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    async with forwarding(stack.database_url) as store, stack.api(DATABASE_URL=store.url) as url:
        first = await client.post(f"{url}/v2/sim-instant", json={})
        assert first.status_code == 200
        await ended(client, first.json()["request_id"])
        store.cut()
        submits = {
            "/v2/sim-instant": ({"n": 1}, "application/json"),
            "/v1/sim-instant": ({"n": 2}, "application/json"),
            "/api/v1/jobs": ({"model": "sim-instant", "input": {"n": 3}}, "application/problem+json"),
        }
        watch = Stopwatch()
        answers = await asyncio.gather(*(client.post(url + path, json=body) for path, (body, _) in submits.items()))
        assert watch.own_seconds < 12
        for answer, (_, kind) in zip(answers, submits.values(), strict=True):
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == kind
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["code"] == "store_unavailable"
        assert (await client.get(f"{url}/healthz")).status_code == 200
        assert (await client.get(f"{url}/readyz")).status_code == 503
        shown = first.json()["request_id"]
        reads = [
            asyncio.create_task(client.get(f"{url}{path}"))
            for path in (
                f"/v2/requests/{shown}/status",
                f"/v2/requests/{shown}",
                f"/api/v1/jobs/{shown}",
                "/api/v1/jobs",
            )
        ]
        _, waiting = await asyncio.wait(reads, timeout=2)
        assert len(waiting) == len(reads), "a read must wait for the store"
        store.mend()
        assert {(await read).status_code for read in reads} == {200}
        assert (await client.post(f"{url}/v2/sim-instant", json={"n": 4})).status_code == 200

        async def refused() -> bool:
            # whose key had to be looked up, of them nobody can say whose they were
            sql = "SELECT sum(count)::int AS n FROM ops.requests WHERE code = 'store_unavailable'"
            return bool((await stack.sql(sql))[0]["n"] == 3)

        await eventually(refused)
    assert len(await stack.sql("SELECT FROM jobs WHERE tenant_id = $1", tenant.id)) == 2


@pytest.mark.slow
async def test_a_read_gives_up_after_twenty_seconds(stack: Gateway, client: httpx.AsyncClient) -> None:
    async with forwarding(stack.database_url) as store, stack.api(DATABASE_URL=store.url) as url:
        store.cut()
        watch = Stopwatch()
        answers = await asyncio.gather(
            client.get(f"{url}/v2/requests/job_{'0' * 32}/status"),
            client.get(f"{url}/v1/requests/job_{'0' * 32}"),
            client.get(f"{url}/api/v1/jobs/job_{'0' * 32}?wait=60"),
            client.get(f"{url}/api/v1/jobs"),
        )
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["retry-after"] for answer in answers)
        assert watch.seconds > 18
        assert watch.own_seconds < 22


async def test_without_redis_all_goes_on(stack: Gateway, tenant: TenantKey, redisless: Gateway) -> None:
    """A gateway of its own, whose Redis is cut while it works."""
    key = await redisless.tenant()
    async with httpx.AsyncClient(base_url=redisless.url, headers=key.headers, timeout=90) as client:
        assert (await client.get("/readyz")).json()["redis"] == "degraded"
        watch = Stopwatch()
        answer = await client.post(
            "/api/v1/jobs", json={"model": "sim-instant", "input": {}}, headers={"prefer": "wait=60"}
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "COMPLETED"
        assert watch.own_seconds < 10
