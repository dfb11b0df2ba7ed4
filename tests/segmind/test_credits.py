"""The tenant's credits on the upstream-shaped surface, and the company's nowhere."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.tenants.models import Scope
from tests.gateway import Gateway, ended
from tests.segmind.conftest import Submit

CANARY = "987654"
"""How the company's balance begins, in every way of writing it, whatever these tests spend of it."""


@pytest.fixture
async def canary(stack: Gateway) -> AsyncIterator[None]:
    async with httpx.AsyncClient(base_url=stack.upstream_url, timeout=60) as control:
        before = (await control.get("/_simulator/config")).json()["credits_micros"]
        told = await control.patch("/_simulator/config", json={"credits_micros": 98_765_499_123_456})
        assert told.status_code == 200, told.text
        yield
        await control.patch("/_simulator/config", json={"credits_micros": before})


async def test_what_the_tenant_has_left(stack: Gateway, client: httpx.AsyncClient, submit: Submit) -> None:
    assert (await client.get("/v1/get-user-credits")).content == b'{"credits":1000.0}'
    shown = await submit("sim-instant")
    job = await ended(client, shown)
    charged = float(job["credits"]["charged"])
    assert 0.009 < charged < 0.011
    assert (job["credits"]["hold"], job["credits"]["held"]) == ("0.100000", "0.000000")
    left = (await client.get("/v1/get-user-credits")).json()["credits"]
    assert left == pytest.approx(1000 - charged, abs=1e-9)
    result = (await client.get(f"/v2/requests/{shown}")).json()
    assert result["metrics"]["remaining_credits"] == left
    assert result["metrics"]["cost"] == charged
    status = (await client.get(f"/v2/requests/{shown}/status")).json()
    assert status["metrics"] == result["metrics"]


async def test_who_may_ask(stack: Gateway, client: httpx.AsyncClient) -> None:
    limited = await stack.tenant(scopes=[Scope.JOBS_READ])
    answer = await client.get("/v1/get-user-credits", headers=limited.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as stranger:
        assert (await stranger.get("/v1/get-user-credits")).status_code == 401


async def test_a_result_without_a_balance_is_given_none(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit
) -> None:
    async with stack.faults({"match": "any", "fault": "no_cost", "slug": "sim-text"}):
        shown = await submit("sim-text")
        job = await ended(client, shown)
    assert job["credits"]["charged"] == job["credits"]["hold"] == "0.100000", "what was not told charges the hold"
    metrics = (await client.get(f"/v2/requests/{shown}")).json()["metrics"]
    assert set(metrics) == {"inference_time", "queue_time", "total_time"}


LEFT = 98_765_499.123456
"""What the upstream says is left, in the metrics of a result, before it quotes it in errors."""
WORDS: list[dict[str, Any]] = [
    {"error": "Insufficient credits. You have 98765499.12 credits."},
    {"error": "Your balance of $98,765,499.12 does not cover 5.0"},
    {"error": {"message": "you have 98765499 credits", "balance": 98765499.123}},
    {"error": "9.8765499e7 left", "metrics": {"remaining_credits": LEFT}},
    {"error_message": "balance: 98765499"},
]


async def everything(client: httpx.AsyncClient, shown: str) -> str:
    """Whatever a tenant can read about a job and its money, headers included."""
    paths = (
        f"/v2/requests/{shown}/status", f"/v2/requests/{shown}", f"/v1/requests/{shown}", f"/api/v1/jobs/{shown}",
        "/api/v1/jobs", "/api/v1/balance", f"/api/v1/ledger?job={shown}", "/api/v1/usage", "/v1/get-user-credits", "/api/v1/events",
    )  # fmt: skip
    answers = [await client.get(path) for path in paths]
    assert all(answer.status_code in (200, 422) for answer in answers)
    return "\n".join(f"{answer.text} {answer.headers}" for answer in answers)


def assert_secret(told: str) -> None:
    assert CANARY not in told.replace(",", "").replace(" ", "").replace(".", "")


@pytest.mark.usefixtures("canary")
async def test_the_companys_balance_is_in_no_result(stack: Gateway, client: httpx.AsyncClient, submit: Submit) -> None:
    async with httpx.AsyncClient(base_url=stack.upstream_url, timeout=60) as upstream:
        seen = await upstream.get("/v1/get-user-credits", headers={"x-api-key": "SG_3ec0a235721add59"})
        assert CANARY in seen.text, "the upstream does tell"
    for slug in ("sim-instant", "sim-text", "sim-echo", "sim-images", "sim-fail"):
        shown = await submit(slug, echo=1)
        await ended(client, shown)
        assert_secret(await everything(client, shown))
        answer = await client.post(f"/v1/{slug}", json={"echo": 1})
        assert_secret(answer.text + str(answer.headers))
        if answer.status_code == 200:
            assert 999 < float(answer.headers["x-remaining-credits"]) < 1000
    rows = await stack.sql("SELECT count(*) FROM job_results WHERE position($1 in encode(body, 'escape')) > 0", CANARY)
    assert rows[0]["count"] >= 8, "what the upstream said is kept as it was"


@pytest.mark.parametrize("number", range(len(WORDS)))
@pytest.mark.parametrize("where", ["submit", "status"])
async def test_the_companys_balance_is_in_no_error(
    stack: Gateway, client: httpx.AsyncClient, where: str, number: int
) -> None:
    """A submit refused with a 400 that speaks of money, and a run that FAILED so."""
    slug = "sim-odd"
    body = json.dumps({**WORDS[number], **({"status": "FAILED"} if where == "status" else {})}).encode()
    rule = {
        "match": where, "slug": slug, "fault": "answer", "status": 400 if where == "submit" else 422,
        "body_base64": base64.b64encode(body).decode(),
    }  # fmt: skip
    completed = json.dumps({"status": "COMPLETED", "output": "x", "metrics": {"cost": 0.01, "remaining_credits": LEFT}})
    reading = {"slug": "sim-text", "fault": "answer", "status": 200, "body": completed}
    async with stack.faults(rule, {"match": "status", **reading}, {"match": "result", **reading}):
        read = await client.post("/v2/sim-text", json={})
        await ended(client, read.json()["request_id"])
        answer = await client.post(f"/v2/{slug}", json={})
        shown = answer.json()["request_id"]
        job = await ended(client, shown)
        sync = await client.post(f"/v1/{slug}", json={})
    assert job["status"] == "FAILED"
    assert job["error"]["message"]
    assert_secret(job["error"]["message"])
    assert_secret(await everything(client, shown))
    assert sync.status_code == 422
    assert_secret(sync.text + str(sync.headers))
