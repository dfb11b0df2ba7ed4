"""Balance, ledger and usage as the tenant sees them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.tenants.models import Scope
from tests.api.conftest import NewJob, assert_problem
from tests.gateway import Gateway, TenantKey, ended

PATHS = ("/api/v1/balance", "/api/v1/ledger", "/api/v1/usage")


async def got(client: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_the_balance_before_during_and_after_a_job(client: httpx.AsyncClient, new_job: NewJob) -> None:
    assert await got(client, "balance") == {
        "granted": "1000.000000", "held": "0.000000", "posted": "0.000000", "available": "1000.000000",
        "overdraft": "0.000000",
    }  # fmt: skip
    job = await new_job()
    assert job["credits"] == {"hold": "0.100000", "held": "0.100000", "charged": "0.000000"}
    balance = await got(client, "balance")
    assert (balance["held"], balance["available"]) == ("0.100000", "999.900000")
    canceled = (await client.post(f"/api/v1/jobs/{job['id']}/cancel")).json()
    assert canceled["credits"] == {"hold": "0.100000", "held": "0.000000", "charged": "0.000000"}
    assert (await got(client, "balance"))["available"] == "1000.000000"
    done = await ended(client, (await new_job(parked=False))["id"])
    charged = done["credits"]["charged"]
    assert done["credits"] == {"hold": "0.100000", "held": "0.000000", "charged": charged}
    balance = await got(client, "balance")
    assert (balance["posted"], balance["held"]) == (charged, "0.000000")
    assert float(balance["available"]) == pytest.approx(1000 - float(charged), abs=1e-9)
    [listed] = [one for one in (await got(client, "jobs"))["items"] if one["id"] == done["id"]]
    assert listed["credits"] == done["credits"]


async def test_the_ledger_of_a_job(client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await ended(client, (await new_job(parked=False))["id"])
    await new_job()
    page = await got(client, "ledger", job=job["id"])
    assert page["next_cursor"] is None
    assert [(one["kind"], one["amount"], one["job_id"]) for one in page["items"]] == [
        ("post", job["credits"]["charged"], job["id"]),
        ("hold", "0.100000", job["id"]),
    ]
    assert all(one["id"].startswith("trf_") and one["created_at"].endswith("Z") for one in page["items"])
    [grant] = (await got(client, "ledger", kind="grant"))["items"]
    assert (grant["amount"], grant["reference"], grant["job_id"]) == ("1000.000000", "test", None)
    assert [one["kind"] for one in (await got(client, "ledger", job=job["id"], kind="hold"))["items"]] == ["hold"]


async def test_the_ledger_in_pages(client: httpx.AsyncClient, new_job: NewJob) -> None:
    for _ in range(6):
        await new_job()
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(5):
        page = await got(client, "ledger", limit=3, **cursor)
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [one["kind"] for one in found] == ["hold"] * 6 + ["grant"]
    assert len({one["id"] for one in found}) == 7
    assert [one["created_at"] for one in found] == sorted((one["created_at"] for one in found), reverse=True)


async def test_usage(client: httpx.AsyncClient, tenant: TenantKey, new_job: NewJob) -> None:
    first = await ended(client, (await new_job(parked=False))["id"])
    await ended(client, (await new_job("sim-fail", parked=False))["id"])
    canceled = await new_job()
    await client.post(f"/api/v1/jobs/{canceled['id']}/cancel")
    by_model = await got(client, "usage")
    assert by_model["by"] == "model"
    items = {one["model"]: one for one in by_model["items"]}
    assert set(items) == {"sim-instant", "sim-fail"}
    one = items["sim-instant"]
    assert (one["completed"], one["failed"], one["canceled"], one["charged"]) == (1, 0, 1, first["credits"]["charged"])
    assert (items["sim-fail"]["failed"], items["sim-fail"]["charged"]) == (1, "0.000000")
    [by_key] = (await got(client, "usage", by="key"))["items"]
    assert (by_key["key_id"], by_key["completed"]) == (f"key_{tenant.key_id.hex}", 1)
    [by_day] = (await got(client, "usage", by="day"))["items"]
    assert by_day["day"] in {str((datetime.now(UTC) - timedelta(days=days)).date()) for days in (0, 1)}
    assert by_day["charged"] == first["credits"]["charged"]
    old = await got(client, "usage", since="2020-01-01T00:00:00Z", until="2020-02-01T00:00:00Z")
    assert (old["items"], old["since"]) == ([], "2020-01-01T00:00:00.000Z")


@pytest.mark.parametrize("path", PATHS)
async def test_who_may_see_them(stack: Gateway, path: str) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        assert_problem(await client.get(path), 401, "unauthorized")
        limited = await stack.tenant(scopes=[Scope.JOBS_READ, Scope.JOBS_WRITE])
        assert_problem(await client.get(path, headers=limited.headers), 403, "scope_missing")
        billing = await stack.tenant(scopes=[Scope.BILLING_READ])
        assert (await client.get(path, headers=billing.headers)).status_code == 200


async def test_nobody_sees_anothers(stack: Gateway, client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job()
    other = await stack.tenant()
    async with httpx.AsyncClient(base_url=stack.url, headers=other.headers, timeout=60) as stranger:
        assert (await got(stranger, "ledger", job=job["id"]))["items"] == []
        [mine] = (await got(client, "ledger", job=job["id"]))["items"]
        page = await got(stranger, "ledger", cursor=mine["id"])
        assert [one["kind"] for one in page["items"]] == ["grant"]
        assert (await got(stranger, "balance"))["held"] == "0.000000"
        assert (await got(stranger, "usage"))["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "ledger?kind=gift", "ledger?job=1", "ledger?job=key_00000000000000000000000000000000", "ledger?limit=0",
        "ledger?limit=201", "ledger?cursor=x", "usage?by=hour", "usage?since=yesterday",
        "usage?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "usage?since=2020-01-01T00:00:00Z",
        "usage?until=0001-01-02T00:00:00Z",
    ],
)  # fmt: skip
async def test_questions_that_make_no_sense(client: httpx.AsyncClient, query: str) -> None:
    assert_problem(await client.get(f"/api/v1/{query}"), 400, "invalid_request")
