"""What a job is quoted, held and charged; and what stands against it: credits, ceilings, budgets."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core.credits import parse_credits
from app.ledger.models import Period
from app.ledger.operations import set_budget, set_overdraft
from tests.api.conftest import PARKED, assert_problem
from tests.gateway import Gateway, TenantKey, eventually

URL = "/api/v1/jobs"
COST = 10_000
"""What the simulator charges for `sim-*`, give or take a twentieth."""


async def submit(client: httpx.AsyncClient, model: str, *, parked: bool = False, **options: Any) -> httpx.Response:
    body = {"model": model, "input": {}, **options} | ({"not_before": PARKED} if parked else {})
    return await client.post(URL, json=body, headers={} if parked else {"prefer": "wait=20"})


async def price(stack: Gateway, slug: str, **columns: object) -> str:
    """A model of its own for one test, which the simulator runs at once and charges 0.05 for."""
    names, values = ", ".join(columns), list(columns.values())
    marks = ", ".join(f"${number}" for number in range(2, len(values) + 2))
    await stack.sql(f"INSERT INTO models (slug, run_seconds, {names}) VALUES ($1, 0.02, {marks})", slug, *values)
    return slug


async def money(stack: Gateway, tenant: TenantKey) -> dict[str, int]:
    [row] = await stack.sql("SELECT granted, posted, held FROM balances WHERE tenant_id = $1", tenant.id)
    return dict(row)


async def job_row(stack: Gateway, answer: httpx.Response) -> Any:
    job_id = UUID(answer.json()["id"].removeprefix("job_"))
    [row] = await stack.sql("SELECT * FROM jobs WHERE id = $1", job_id)
    return row


async def test_metered_is_charged_what_it_cost(stack: Gateway, tenant: TenantKey, client: httpx.AsyncClient) -> None:
    answer = await submit(client, "sim-instant")
    assert answer.status_code == 201
    row = await job_row(stack, answer)
    assert row["held_micro"] == 100_000
    assert abs(row["cost_micro"] - COST) <= COST / 20
    assert row["charged_micro"] == row["cost_micro"]
    assert await money(stack, tenant) == {"granted": 10**9, "posted": row["cost_micro"], "held": 0}
    kinds = await stack.sql("SELECT kind, amount FROM transfers WHERE job_id = $1 ORDER BY created_at", row["id"])
    assert [tuple(one) for one in kinds] == [("hold", 100_000), ("post", row["cost_micro"])]


@pytest.mark.slow
async def test_a_mark_up_and_a_fixed_price(stack: Gateway, client: httpx.AsyncClient) -> None:
    dear = await price(stack, "price-markup", price_micro=400_000, markup_micro=1_250_000)
    row = await job_row(stack, await submit(client, dear))
    assert row["charged_micro"] == (row["cost_micro"] * 5 + 2) // 4
    fixed = await price(stack, "price-fixed", price_micro=200_000, price_rule="fixed")
    row = await job_row(stack, await submit(client, fixed))
    assert (row["held_micro"], row["charged_micro"]) == (200_000, 200_000)


async def test_a_failed_job_is_free(stack: Gateway, tenant: TenantKey, client: httpx.AsyncClient) -> None:
    answer = await submit(client, "sim-fail")
    row = await job_row(stack, answer)
    assert (row["state"], row["held_micro"], row["charged_micro"]) == ("failed", 100_000, 0)
    assert await money(stack, tenant) == {"granted": 10**9, "posted": 0, "held": 0}


async def test_a_canceled_job_gives_its_hold_back(stack: Gateway, tenant: TenantKey, client: httpx.AsyncClient) -> None:
    answer = await submit(client, "sim-instant", parked=True)
    assert (await money(stack, tenant))["held"] == 100_000
    assert (await client.post(answer.json()["urls"]["cancel"])).status_code == 200
    assert await money(stack, tenant) == {"granted": 10**9, "posted": 0, "held": 0}


@pytest.mark.slow
async def test_costs_somewhat_above_the_hold_switch_no_model_off(stack: Gateway, client: httpx.AsyncClient) -> None:
    low = await price(stack, "price-somewhat-low", price_micro=6_000)
    for _ in range(3):
        row = await job_row(stack, await submit(client, low))
        assert row["held_micro"] < row["cost_micro"] < 10 * row["held_micro"]
        [exposure] = await stack.sql("SELECT * FROM exposures WHERE job_id = $1", row["id"])
        assert exposure["reason"] == "cost_above_hold"
    [model] = await stack.sql("SELECT enabled, disabled_reason, above_hold_count FROM models WHERE slug = $1", low)
    assert tuple(model) == (True, None, 0)


@pytest.mark.slow
async def test_a_cost_of_ten_times_the_hold_is_exposure_and_the_second_switches_the_model_off(
    stack: Gateway, client: httpx.AsyncClient
) -> None:
    cheap = await price(stack, "price-too-low", price_micro=1_000)
    for _ in range(2):
        row = await job_row(stack, await submit(client, cheap))
        assert (row["charged_micro"], row["held_micro"]) == (1_000, 1_000)
        [exposure] = await stack.sql("SELECT * FROM exposures WHERE job_id = $1", row["id"])
        assert (exposure["reason"], exposure["amount"]) == ("cost_above_hold", row["cost_micro"] - 1_000)

    async def refused() -> bool:
        return (await submit(client, cheap, parked=True)).status_code == 403

    await eventually(refused)
    assert_problem(await submit(client, cheap, parked=True), 403, "model_not_allowed")
    [model] = await stack.sql("SELECT enabled, disabled_reason FROM models WHERE slug = $1", cheap)
    assert tuple(model) == (False, "cost_above_hold")


async def test_a_ceiling_of_the_job_and_of_the_tenant(stack: Gateway, client: httpx.AsyncClient) -> None:
    body = assert_problem(await submit(client, "sim-instant", max_price="0.099999"), 402, "price_above_max")
    assert (body["required"], body["max"]) == ("0.100000", "0.099999")
    assert (await submit(client, "sim-instant", max_price="0.100000")).status_code == 201
    strict = await stack.tenant()
    await stack.sql("UPDATE tenants SET max_price_micro = 50000 WHERE id = $1", strict.id)
    async with httpx.AsyncClient(base_url=stack.url, headers=strict.headers, timeout=60) as other:
        assert_problem(await submit(other, "sim-instant"), 402, "price_above_max")
        answer = await other.post("/v2/sim-instant", json={})
        assert (answer.status_code, answer.json()["code"]) == (406, "price_above_max")
    rows = await stack.sql("SELECT status_code, count FROM refusals WHERE tenant_id = $1 ORDER BY 1", strict.id)
    assert [tuple(row) for row in rows] == [(402, 1), (406, 1)]


@pytest.mark.parametrize("max_price", [0.1, "-1", "1e3", "0.0000001", "", "lots", True])
async def test_a_ceiling_that_is_none(client: httpx.AsyncClient, max_price: object) -> None:
    body = assert_problem(await submit(client, "sim-instant", max_price=max_price), 400, "invalid_request")
    assert body["errors"][0]["path"] == "$.max_price"


async def test_an_overdraft_is_used_to_its_end(stack: Gateway) -> None:
    tenant = await stack.tenant(credits_micro=150_000)
    async with stack.database.transaction() as session:
        await set_overdraft(session, tenant_id=tenant.id, overdraft_micro=60_000)
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=60) as client:
        assert [(await submit(client, "sim-instant", parked=True)).status_code for _ in range(3)] == [202, 202, 402]
    [row] = await stack.sql("SELECT granted - posted - held AS left FROM balances WHERE tenant_id = $1", tenant.id)
    assert row["left"] == -50_000


@pytest.mark.parametrize("of", ["tenant", "key"])
async def test_a_budget_is_kept_and_tells_when_it_goes(stack: Gateway, of: str) -> None:
    tenant = await stack.tenant()
    subject_id = tenant.id if of == "tenant" else tenant.key_id
    async with stack.database.transaction() as session:
        await set_budget(session, tenant_id=tenant.id, subject_id=subject_id, period=Period.DAY, limit_micro=420_000)
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=30) as client:
        jobs = [await submit(client, "sim-instant", parked=True) for _ in range(5)]
        assert [job.status_code for job in jobs] == [202, 202, 202, 202, 402]
        body = assert_problem(jobs[-1], 402, "budget_exceeded")
        assert (body["required"], body["available"], body["period"]) == ("0.100000", "0.020000", "day")
        alerts = await stack.sql("SELECT percent FROM budget_alerts WHERE subject_id = $1 ORDER BY 1", subject_id)
        assert [alert["percent"] for alert in alerts] == [50, 80, 100]
        for job in jobs[:2]:  # what a job does not cost after all may be spent again
            assert (await client.post(job.json()["urls"]["cancel"])).status_code == 200
        assert (await submit(client, "sim-instant")).status_code == 201
    [budget] = await stack.sql("SELECT spent_micro FROM budgets WHERE subject_id = $1", subject_id)
    assert abs(budget["spent_micro"] - 200_000 - COST) <= COST / 20
    assert (await money(stack, tenant))["held"] == 200_000


async def test_a_replay_needs_no_credits(stack: Gateway) -> None:
    tenant = await stack.tenant(credits_micro=100_000)
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=60) as client:
        key = {"idempotency-key": "again"}
        first = await client.post(URL, json={"model": "sim-instant", "input": {}, "not_before": PARKED}, headers=key)
        again = await client.post(URL, json={"model": "sim-instant", "input": {}, "not_before": PARKED}, headers=key)
        other = await client.post(URL, json={"model": "sim-instant", "input": {"a": 1}}, headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    assert_problem(other, 422, "idempotency_key_reused")
    assert parse_credits("0.1") == (await money(stack, tenant))["held"]
