"""`POST /api/v1/jobs/quote`: what a submit would then get, with nothing stored, held or counted."""

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from app.core import clock
from app.jobs.estimates.line import Line
from app.jobs.reading.eta_estimator import QueueSnapshot
from app.jobs.submit.quoting import held_up_by
from app.ledger.models import Period
from app.ledger.operations import grant, set_budget
from app.tenants.models import Scope
from tests.api.conftest import PARKED, assert_problem
from tests.gateway import Gateway, TenantKey, eventually

URL = "/api/v1/jobs"
QUOTE = f"{URL}/quote"
BODY: dict[str, Any] = {"model": "sim-instant", "input": {}}


@pytest.fixture
async def poor(stack: Gateway) -> AsyncIterator[tuple[TenantKey, httpx.AsyncClient]]:
    """A tenant of one and a half credits' worth of jobs, and its client."""
    tenant = await stack.tenant(credits_micro=150_000)
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=30) as client:
        yield tenant, client


async def everything(stack: Gateway, tenant: TenantKey) -> list[Any]:
    """All that a submit might leave behind."""
    tables = ("jobs", "refusals", "transfers", "balances", "budgets", "queues")
    union = " UNION ALL ".join(
        f"SELECT row_to_json({table})::text AS line FROM {table} WHERE tenant_id = $1" for table in tables
    )
    return [row["line"] for row in await stack.sql(f"{union} ORDER BY 1", tenant.id)]


async def quoted(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post(QUOTE, json=BODY | fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def assert_refused_alike(client: httpx.AsyncClient, binding: str, **fields: Any) -> None:
    """The quote foretells the refusal that a submit then meets, word for word."""
    quote = await quoted(client, **fields)
    assert (quote["accepted"], quote["binding"]) == (False, binding)
    answer = await client.post(URL, json=BODY | {"not_before": PARKED} | fields)
    problem = assert_problem(answer, quote["would_be_refused"]["status"], quote["would_be_refused"]["code"])
    seconds = quote["would_be_refused"].pop("retry_after_seconds")
    assert quote["would_be_refused"] == problem
    assert answer.headers.get("retry-after") == (None if seconds is None else str(seconds))


async def test_what_a_submit_then_gets(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    await stack.sql(
        "INSERT INTO models (slug, run_seconds, price_micro, price_rule) VALUES ('quoted', 40, 70000, 'fixed')"
    )
    before = await everything(stack, tenant)
    quote = await quoted(client, model="quoted", metadata={"a": 1}, max_price="0.07")
    assert await everything(stack, tenant) == before
    assert (quote["price"], quote["hold"], quote["price_rule"], quote["markup"]) == (
        ("0.070000", "0.070000", "fixed", "1.000000")
    )
    assert (quote["accepted"], quote["would_be_refused"], quote["binding"], quote["position"]) == (
        True,
        None,
        "none",
        1,
    )
    assert 0 < quote["wait_seconds"]["p50"] <= quote["wait_seconds"]["p90"] < 1
    assert quote["eta"]["p50"] < quote["eta"]["p90"]
    job = (await client.post(URL, json=BODY | {"model": "quoted", "not_before": PARKED})).json()
    assert job["credits"]["hold"] == quote["hold"]


async def test_refusals_are_told_beforehand(stack: Gateway, poor: tuple[TenantKey, httpx.AsyncClient]) -> None:
    tenant, client = poor
    await assert_refused_alike(client, "price", max_price="0.05")
    assert (await client.post(URL, json=BODY | {"not_before": PARKED})).status_code == 202
    before = await everything(stack, tenant)
    quote = await quoted(client)
    assert quote["would_be_refused"]["required"] == "0.100000"
    assert quote["would_be_refused"]["available"] == "0.050000"
    assert await everything(stack, tenant) == before
    await assert_refused_alike(client, "credits")
    await stack.sql("UPDATE tenants SET max_queued = 1 WHERE id = $1", tenant.id)
    await assert_refused_alike(client, "queued")


async def test_a_rate_that_is_used_up(stack: Gateway, poor: tuple[TenantKey, httpx.AsyncClient]) -> None:
    tenant, client = poor
    await stack.sql("UPDATE tenants SET rate_per_minute = 1, burst = 1 WHERE id = $1", tenant.id)
    assert (await quoted(client))["accepted"]
    assert (await client.post(URL, json=BODY | {"not_before": PARKED})).status_code == 202
    before = await everything(stack, tenant)
    quote = await quoted(client)
    assert await everything(stack, tenant) == before
    told = quote["would_be_refused"]
    assert (quote["binding"], told["code"], told["status"]) == ("rate", "rate_limited", 429)
    assert 55 <= told["retry_after_seconds"] <= 60


@pytest.mark.parametrize("of", ["tenant", "key"])
async def test_budgets_and_queues_of_tenant_and_key(
    stack: Gateway, tenant: TenantKey, client: httpx.AsyncClient, of: str
) -> None:
    subject_id = tenant.id if of == "tenant" else tenant.key_id
    async with stack.database.transaction() as session:
        await set_budget(session, tenant_id=tenant.id, subject_id=subject_id, period=Period.DAY, limit_micro=99_999)
    await assert_refused_alike(client, "budget")
    table = "tenants" if of == "tenant" else "api_keys"
    if of == "key":
        await stack.sql(
            "INSERT INTO queues (subject_id, tenant_id, max_queued) VALUES ($1, $2, 0)", subject_id, tenant.id
        )
    await stack.sql(f"UPDATE {table} SET max_queued = 0 WHERE id = $1", subject_id)
    await assert_refused_alike(client, "queued")


async def test_credit_that_has_expired_is_gone(stack: Gateway) -> None:
    tenant = await stack.tenant(credits_micro=50_000)
    async with stack.database.transaction() as session:
        expires_at = clock.now() + timedelta(hours=1)
        await grant(session, tenant_id=tenant.id, amount_micro=100_000, reference="an hour", expires_at=expires_at)
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=30) as client:
        assert (await quoted(client))["accepted"]
        await stack.sql("UPDATE lots SET expires_at = now() - interval '1 s' WHERE tenant_id = $1", tenant.id)
        quote = await quoted(client)
    assert (quote["accepted"], quote["binding"]) == (False, "credits"), "swept or not"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": 1}, 400, "invalid_request"),
        ({"surprise": 1}, 400, "invalid_request"),
        ({"input": {"fps": "7"}, "model": "motionctrl-svd"}, 400, "invalid_parameters"),
        ({"model": "a/b"}, 404, "model_not_found"),
    ],
)
async def test_what_is_no_submit_is_no_quote(
    client: httpx.AsyncClient, fields: dict[str, Any], status: int, code: str
) -> None:
    for url in (QUOTE, URL):
        assert_problem(await client.post(url, json=BODY | fields), status, code)


async def test_who_may_not_submit_is_quoted_nothing(stack: Gateway, client: httpx.AsyncClient) -> None:
    reader, idle = await stack.tenant(scopes=[Scope.JOBS_READ]), await stack.tenant(suspended=True)
    assert_problem(await client.post(QUOTE, json=BODY, headers={"x-api-key": ""}), 401, "unauthorized")
    assert_problem(await client.post(QUOTE, json=BODY, headers=reader.headers), 403, "scope_missing")
    assert_problem(await client.post(QUOTE, json=BODY, headers=idle.headers), 403, "tenant_suspended")
    answer = await client.post(QUOTE, content=json.dumps(BODY), headers={"content-type": "text/plain"})
    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_key_without_a_place_waits_for_one(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    await stack.sql(
        "INSERT INTO queues (subject_id, tenant_id, max_in_flight) VALUES ($1, $2, 0)", tenant.key_id, tenant.id
    )
    quote = await quoted(client)
    assert (quote["accepted"], quote["binding"], quote["eta"], quote["position"]) == (True, "in_flight", None, None)


async def test_what_it_would_wait_for(stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey) -> None:
    await stack.sql("UPDATE tenants SET max_in_flight = 1 WHERE id = $1", tenant.id)
    assert (await client.post(URL, json=BODY | {"model": "sim-hang"})).status_code == 202

    async def would_be(position: int) -> bool:
        quote = await quoted(client)
        return (quote["accepted"], quote["binding"], quote["position"]) == (True, "in_flight", position)

    # processes look at the line every so often
    await eventually(partial(would_be, 1))
    assert (await client.post(URL, json=BODY)).status_code == 202
    await eventually(partial(would_be, 2))
    second = await quoted(client)
    assert second["wait_seconds"]["p90"] > 0
    parked = await quoted(client, not_before=PARKED)
    assert (parked["binding"], parked["position"]) == ("not_before", None)
    start, p50, p90 = (datetime.fromisoformat(at) for at in (PARKED, parked["eta"]["p50"], parked["eta"]["p90"]))
    assert start < p50 < p90
    assert parked["wait_seconds"]["p50"] > 18 * 86_400
    await stack.sql("INSERT INTO pauses (tenant_id, what, paused_by) VALUES ($1, 'submits', 'on-call')", tenant.id)

    async def paused() -> bool:
        quote = await quoted(client)
        shown = (quote["binding"], quote["paused_by"], quote["wait_seconds"], quote["eta"])
        return shown == ("paused", "operator", None, None)

    await eventually(paused)


def test_the_upstream_holds_up_what_has_room() -> None:
    line = Line(read_at=0.0, ready=10, in_flight=0, max_in_flight=5)
    assert held_up_by("m", QueueSnapshot(line, 0.0)) == "in_flight"
    assert held_up_by("m", None) == "none"
    for fields in ({"upstream_paused_seconds": 1.0}, {"max_in_flight": 100, "waited_seconds": 9.0}):
        held = Line(**{"read_at": 0.0, "ready": 10, "in_flight": 0, "max_in_flight": 5} | fields)  # type: ignore[arg-type]
        assert held_up_by("m", QueueSnapshot(held, 0.0)) == "upstream"
    assert held_up_by("m", QueueSnapshot(Line(0.0, 0, 0, 5, paused_models=frozenset({"m"})), 0.0)) == "paused"
