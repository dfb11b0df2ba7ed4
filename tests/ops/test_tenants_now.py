"""`ops.tenants_now` and `ops.queue_now`: from the counts that are kept, and right."""

from typing import Any

import httpx
import pytest

from tests.gateway import LATER, Gateway, TenantKey, eventually

URL = "/api/v1/jobs"

COUNTED = """
SELECT
    count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE ready) AS ready,
    count(*) FILTER (WHERE state IN ('sending', 'unknown', 'running')) AS in_flight,
    count(*) FILTER (WHERE state = 'unknown') AS unknown,
    coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'queued')), 0)::float8 AS oldest_seconds
FROM jobs WHERE tenant_id = $1
"""


async def now_of(stack: Gateway, tenant: TenantKey) -> dict[str, Any]:
    [row] = await stack.sql("SELECT * FROM ops.tenants_now WHERE tenant_id = $1", tenant.id)
    return dict(row)


async def assert_counted(stack: Gateway, tenant: TenantKey) -> None:
    """Both views say what a count of the jobs themselves does."""
    [queue] = await stack.sql("SELECT * FROM ops.queue_now WHERE tenant_id = $1", tenant.id)
    [counted] = await stack.sql(COUNTED, tenant.id)
    found = await now_of(stack, tenant)
    for name in ("queued", "ready", "in_flight", "unknown"):
        assert queue[name] == counted[name], name
        assert name == "unknown" or found[name] == counted[name], name
    assert queue["oldest_seconds"] == pytest.approx(counted["oldest_seconds"], abs=1)
    assert found["oldest_seconds"] == pytest.approx(counted["oldest_seconds"], abs=1)


async def submit(client: httpx.AsyncClient, model: str = "sim-instant", **fields: Any) -> httpx.Response:
    return await client.post(URL, json={"model": model, "input": {}, **fields})


async def test_what_waits_and_what_is_under_way(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    await assert_counted(stack, tenant)
    await stack.sql("UPDATE tenants SET max_in_flight = 2 WHERE id = $1", tenant.id)
    for model in ("sim-hang", "sim-hang"):
        await submit(client, model)

    async def running() -> bool:
        return bool((await now_of(stack, tenant))["in_flight"] == 2)

    await eventually(running)
    await assert_counted(stack, tenant)
    await submit(client, not_before=LATER)
    await assert_counted(stack, tenant)
    for _ in range(3):
        await submit(client)
    await assert_counted(stack, tenant)
    found = await now_of(stack, tenant)
    assert (found["queued"], found["ready"], found["in_flight"], found["max_in_flight"]) == (4, 3, 2, 2)


async def test_beside_its_limits(stack: Gateway) -> None:
    tenant = await stack.tenant(credits_micro=1_234_567)
    await stack.sql("UPDATE tenants SET rate_per_minute = 601, burst = 101 WHERE id = $1", tenant.id)
    found = await now_of(stack, tenant)
    limits = {name: found[name] for name in ("weight", "rate_per_minute", "burst", "max_queued", "max_in_flight")}
    assert limits == {"weight": 1, "rate_per_minute": 601, "burst": 101, "max_queued": 10_000, "max_in_flight": 200}
    assert (str(found["available"]), found["suspended"], found["paused"]) == ("1.234567", False, False)
    assert (found["refused_last_minute"], found["refused_codes"]) == (0, "{}")
    assert found["refused_per_minute"] == 6_010
    await stack.sql(
        "UPDATE tenants SET weight = 4, max_queued = 7, refused_per_minute = 5, suspended_at = now() WHERE id = $1",
        tenant.id,
    )
    await stack.sql(
        "INSERT INTO pauses (tenant_id, model, what, paused_by) VALUES ($1, 'm', 'all', 'on-call')", tenant.id
    )
    found = await now_of(stack, tenant)
    assert (found["weight"], found["max_queued"], found["suspended"], found["paused"]) == (4, 7, True, False)
    assert found["refused_per_minute"] == 5
    await stack.sql("UPDATE pauses SET model = NULL WHERE tenant_id = $1", tenant.id)
    assert (await now_of(stack, tenant))["paused"]
    await stack.sql("DELETE FROM pauses WHERE tenant_id = $1", tenant.id)


async def test_refusals_by_reason(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    await stack.sql("UPDATE tenants SET max_queued = 0 WHERE id = $1", tenant.id)
    answers = [await submit(client) for _ in range(3)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(429, "queue_full")}
    assert (await submit(client, "a/b")).status_code == 404
    rows = await stack.sql(
        "SELECT code, sum(count)::int AS n FROM ops.requests WHERE tenant_id = $1 GROUP BY 1", tenant.id
    )
    assert {row["code"]: row["n"] for row in rows} == {"queue_full": 3, "model_not_found": 1}
    found = await now_of(stack, tenant)
    assert found["refused_last_minute"] == 4
    assert found["refused_codes"] == '{"queue_full": 3, "model_not_found": 1}'
    await stack.sql(
        "UPDATE refusals SET received_at = received_at - interval '2 min', last_at = last_at - interval '2 min'"
        " WHERE tenant_id = $1", tenant.id
    )  # fmt: skip
    assert (await now_of(stack, tenant))["refused_last_minute"] == 0
