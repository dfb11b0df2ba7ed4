"""Limits on submits as tenants meet them: 429 on both surfaces, what counts, and `GET /limits`."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.admin.actions.tenancy import change_key, change_tenant
from app.tenants.decide import TenantChanges
from app.tenants.models import Scope
from app.tenants.operations import create_key
from tests.gateway import SECRET, Gateway, TenantKey, eventually

SLOW = {"rate_per_minute": 1, "burst": 3}
JOB = {"model": "sim-instant", "input": {}}
SURFACES = {
    "native": ("/api/v1/jobs", JOB),
    "segmind": ("/v2/sim-instant", {}),
    "segmind_sync": ("/v1/sim-instant", {}),
}
TAKEN = (200, 201, 202)


def client_of(stack: Gateway, tenant: TenantKey, number: int = 0) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=stack.urls[number], headers=tenant.headers, timeout=40)


async def submit(client: httpx.AsyncClient, surface: str = "native", **headers: str) -> httpx.Response:
    path, body = SURFACES[surface]
    return await client.post(path, json=body, headers=headers)


async def limits(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/v1/limits")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def with_key(stack: Gateway, tenant: TenantKey, *, scopes: list[Scope] | None = None, **own: int) -> TenantKey:
    """Another key of the tenant, with limits of its own."""
    async with stack.database.transaction() as session:
        key, text = await create_key(session, tenant_id=tenant.id, secret=SECRET.encode(), scopes=scopes)
    async with stack.database.transaction() as session:
        await change_key(session, by="test", key_id=key.id, settings=own)  # type: ignore[arg-type]
    return TenantKey(tenant.name, tenant.id, text, key.id)


def assert_limited(answer: httpx.Response, *, of: str = "tenant", per_minute: int = 1) -> None:
    assert answer.status_code == 429, answer.text
    body = answer.json()
    assert (body["code"], body["limit"], body["of"]) == ("rate_limited", "rate_per_minute", of)
    assert body["rate_per_minute"] == per_minute
    assert of in body["violated-policies"]
    seconds = int(answer.headers["retry-after"])
    assert 1 <= seconds <= 60 / per_minute
    assert f'"{of}";q={per_minute};w=60' in answer.headers["ratelimit-policy"]
    assert f'"{of}";r=0;t={seconds}' in answer.headers["ratelimit"]


@pytest.mark.parametrize("surface", SURFACES)
async def test_more_than_a_burst_is_refused_on_all_processes_and_recorded(stack: Gateway, surface: str) -> None:
    tenant = await stack.tenant(**SLOW)
    async with client_of(stack, tenant) as one, client_of(stack, tenant, 1) as other:
        for client, left in ((one, 2), (other, 1), (one, 0)):
            answer = await submit(client, surface)
            assert answer.status_code in TAKEN, answer.text
            if surface != "segmind_sync":
                assert answer.headers["ratelimit-policy"] == '"tenant";q=1;w=60'
                assert answer.headers["ratelimit"].startswith(f'"tenant";r={left};t=')
        refused = await asyncio.gather(*(submit(client, surface) for client in (one, other) * 10))
    for answer in refused:
        assert_limited(answer)
    native = surface == "native"
    assert answer.headers["content-type"] == ("application/problem+json" if native else "application/json")
    assert "may make 1 submits a minute, 3 at once" in answer.json()["detail" if native else "error"]
    rows = await stack.sql(
        "SELECT code, status_code, sum(count)::int AS n, count(*) AS rows, count(job_id) AS jobs FROM ops.requests"
        " WHERE tenant_id = $1 AND surface = $2 GROUP BY 1, 2 ORDER BY 3",
        tenant.id,
        surface,
    )
    assert [(row["code"], row["status_code"], row["n"], row["jobs"]) for row in rows if row["jobs"] == 0] == [
        ("rate_limited", 429, 20, 0)
    ]
    assert rows[-1]["rows"] <= 2, "a flood of equal ones is a row a minute"
    assert sum(row["jobs"] for row in rows) == 3
    assert await stack.sql("SELECT FROM ops.jobs WHERE tenant_id = $1 OFFSET 3", tenant.id) == []


async def test_refused_submits_do_not_count_and_replayed_ones_do(stack: Gateway) -> None:
    tenant = await stack.tenant(credits_micro=200_000, **SLOW)
    async with client_of(stack, tenant) as client:
        assert (await submit(client)).status_code == 202
        assert (await submit(client, "segmind", **{"idempotency-key": "k"})).status_code == 200
        for answer, status in (
            (await submit(client), 402),
            (await submit(client, "segmind"), 406),
            (await client.post("/v2/sim-echo", json={}, headers={"idempotency-key": "k"}), 422),
            (await client.post("/api/v1/jobs", json={}), 400),
            (await client.post("/v2/a b", json={}), 404),
            (await client.post("/v2/sim-instant", content=b"x"), 415),
        ):
            assert answer.status_code == status, answer.text

        async def left(number: int) -> bool:
            return bool((await limits(client))["rate"]["remaining"] == number)

        await eventually(lambda: left(1))
        assert (await submit(client, "segmind", **{"idempotency-key": "k"})).headers["idempotent-replayed"] == "true"
        assert_limited(await submit(client, "segmind", **{"idempotency-key": "k"}))


async def test_a_full_queue_says_how_the_rate_stands(stack: Gateway) -> None:
    tenant = await stack.tenant(max_queued=0, **SLOW)
    async with client_of(stack, tenant) as client:
        for surface in ("native", "segmind"):
            answer = await submit(client, surface)
            assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["ratelimit-policy"] == '"tenant";q=1;w=60'
            assert answer.headers["ratelimit"].startswith('"tenant";r=')

        async def given_back() -> bool:  # behind the answer
            return bool((await limits(client))["rate"]["remaining"] == 3)

        await eventually(given_back)
    [row] = await stack.sql(
        "SELECT sum(count)::int AS n, code FROM ops.requests WHERE tenant_id = $1 GROUP BY 2", tenant.id
    )
    assert (row["code"], row["n"]) == ("queue_full", 2)


async def test_keys_share_their_tenants_limit_and_may_have_one_of_their_own(stack: Gateway) -> None:
    tenant = await stack.tenant(rate_per_minute=1, burst=5)
    narrow = await with_key(stack, tenant, rate_per_minute=2, burst=2)
    async with client_of(stack, tenant) as wide, client_of(stack, narrow, 1) as client:
        first = await submit(client)
        assert first.headers["ratelimit-policy"] == '"tenant";q=1;w=60, "key";q=2;w=60'
        assert first.headers["ratelimit"].startswith('"tenant";r=4;t=')
        assert (await submit(client, "segmind")).status_code == 200
        assert_limited(await submit(client, "segmind"), of="key", per_minute=2)
        assert [(await submit(wide)).status_code for _ in range(3)] == [202] * 3
        assert_limited(await submit(wide))
        assert_limited(await submit(client), of="tenant")


async def test_a_change_bites_within_five_seconds(stack: Gateway) -> None:
    tenant = await stack.tenant(**SLOW)
    async with client_of(stack, tenant) as client:
        for _ in range(3):
            assert (await submit(client)).status_code == 202
        assert_limited(await submit(client))
        wider: TenantChanges = {"rate_per_minute": 600, "burst": 10}
        async with stack.database.transaction() as session:
            await change_tenant(session, by="test", tenant=tenant.name, settings=wider)  # type: ignore[typeddict-item]

        async def taken() -> bool:
            return (await submit(client)).status_code == 202

        await eventually(taken, gap_seconds=0.2)


async def test_limits_are_shown_to_any_key(stack: Gateway) -> None:
    tenant = await stack.tenant(max_in_flight=7, max_queued=9, **SLOW)
    async with stack.database.transaction() as session:
        settings: Any = {"weight": 2.0, "max_price": 500_000, "models": ["sim-hold", "sim-instant"]}
        await change_tenant(session, by="test", tenant=tenant.name, settings=settings)
    reader = await with_key(stack, tenant, scopes=[Scope.WEBHOOKS])
    own = await with_key(stack, tenant, burst=2, max_queued=4)
    whole = {
        "rate": {"per_minute": 1, "burst": 3, "remaining": 3, "reset_seconds": 0},
        "refused": {"per_minute": 10, "burst": 30, "remaining": 30, "reset_seconds": 0},
        "in_flight": {"limit": 7, "used": 0},
        "queued": {"limit": 9, "used": 0},
        "weight": 2,
        "max_price": "0.500000",
        "models": ["sim-hold", "sim-instant"],
        "key": None,
    }
    async with client_of(stack, reader) as client, client_of(stack, own) as other:
        assert await limits(client) == whole
        async with stack.database.transaction() as session:
            await session.execute(
                "INSERT INTO pauses (tenant_id, what, paused_by) VALUES ($1, 'submits', 'test')", tenant.id
            )
        assert [(await submit(other)).status_code for _ in range(2)] == [202, 202]
        answer = await other.get("/api/v1/limits")
        shown = answer.json()
        assert 0 < shown["rate"].pop("reset_seconds") <= 120
        assert 0 < shown["key"]["rate"].pop("reset_seconds") <= 60
        assert shown == {
            **whole,
            "rate": {"per_minute": 1, "burst": 3, "remaining": 1},
            "queued": {"limit": 9, "used": 2},
            "key": {
                "rate": {"per_minute": 1, "burst": 2, "remaining": 0},
                "in_flight": None,
                "queued": {"limit": 4, "used": 2},
            },
        }
        assert '"key";r=0;t=' in answer.headers["ratelimit"]
        assert (await limits(client))["key"] is None
        assert (await client.get("/api/v1/limits", headers={"x-api-key": uuid4().hex})).status_code == 401


async def test_reads_are_never_limited(stack: Gateway) -> None:
    tenant = await stack.tenant(rate_per_minute=1, burst=1)
    async with client_of(stack, tenant) as client:
        shown = (await submit(client, "segmind")).json()["request_id"]
        assert_limited(await submit(client))
        for path in (f"/v2/requests/{shown}/status", f"/api/v1/jobs/{shown}", "/api/v1/jobs", "/api/v1/limits"):
            answers = await asyncio.gather(*(client.get(path) for _ in range(10)))
            assert {answer.status_code for answer in answers} == {200}
            assert "retry-after" not in answers[0].headers


async def test_a_process_that_ends_says_so(stack: Gateway) -> None:
    """Without Redis the others would leave its share to it for another lease."""
    sql = (
        "SELECT count(*) FILTER (WHERE stopped_at IS NULL) AS living, count(*) AS all FROM processes WHERE kind = 'api'"
    )
    [before] = await stack.sql(sql)
    async with stack.api():

        async def more() -> bool:
            [row] = await stack.sql(sql)
            return bool(row["living"] == before["living"] + 1)

        await eventually(more)
    [after] = await stack.sql(sql)
    assert (after["living"], after["all"]) == (before["living"], before["all"] + 1)
