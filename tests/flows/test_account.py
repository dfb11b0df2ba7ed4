"""What the upstream says of our account stops everybody, where it is true, and nobody else, where it is not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.jobs.observing.account import FRESH_SECONDS
from tests.gateway import Gateway, ended, eventually, running_gateway
from tests.servers import Urls, temporary_database

NO_CREDITS = "Insufficient credits. You have 0.25 credits."


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One of its own: a pause for the account holds for all."""
    directory = tmp_path_factory.mktemp("account")
    async with (
        temporary_database(servers.database, template=servers.template) as url,
        running_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1) as gateway,
    ):
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    tenant = await gateway.tenant()
    async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=40) as client:
        yield client


async def submit(client: httpx.AsyncClient, model: str, **given: Any) -> str:
    """The id of a new job."""
    answer = await client.post("/api/v1/jobs", json={"model": model, "input": given})
    assert answer.status_code == 202, answer.text
    shown: str = answer.json()["id"]
    return shown


async def configure(gateway: Gateway, **changes: Any) -> None:
    async with httpx.AsyncClient(base_url=gateway.upstream_url, timeout=60) as client:
        assert (await client.patch("/_simulator/config", json=changes)).status_code == 200


async def reason(gateway: Gateway) -> str | None:
    [row] = await gateway.sql("SELECT paused_reason FROM ops.upstream_now")
    found: str | None = row["paused_reason"]
    return found


async def back_in_line(gateway: Gateway, why: str) -> None:
    """Wait until a job has been put back for this reason, and let its time come."""
    waiting = "SELECT FROM job_events JOIN jobs ON id = job_id WHERE reason = $1 AND state = 'queued'"
    await eventually(lambda: gateway.sql(waiting, why))
    await gateway.sql("UPDATE upstream_state SET paused_until = now() WHERE paused_until IS NOT NULL")
    await gateway.sql("UPDATE jobs SET due_at = now() WHERE state = 'queued'")


@pytest.mark.parametrize(
    ("trouble", "mended"),
    [
        ({"credits": 0.0}, {"credits": 1000.0}),
        ({"spend_limit_micros": 0}, {"spend_limit_micros": None}),
    ],
    ids=["402", "406 spend limit"],
)
async def test_everybody_waits_and_nobody_fails(
    gateway: Gateway, client: httpx.AsyncClient, trouble: dict[str, Any], mended: dict[str, Any]
) -> None:
    await configure(gateway, **trouble)
    first = await submit(client, "sim-instant")
    await eventually(lambda: gateway.sql("SELECT FROM ops.upstream_now WHERE paused_reason = 'account'"))
    second = await submit(client, "sim-echo", echo=1)
    await configure(gateway, **mended)
    await back_in_line(gateway, "account")
    for shown in (first, second):
        assert (await ended(client, shown))["status"] == "COMPLETED"
    assert await reason(gateway) is None


async def test_what_the_balance_denies_holds_up_one_job_and_then_ends_it(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    fault = {"match": "submit", "slug": "odd", "fault": "answer", "status": 406, "error": NO_CREDITS}
    async with gateway.faults(fault):
        odd = await submit(client, "odd")
        await eventually(lambda: gateway.sql("SELECT FROM job_events WHERE reason = 'account_doubted'"))
        assert await reason(gateway) is None
        assert (await ended(client, await submit(client, "sim-instant")))["status"] == "COMPLETED"
        await back_in_line(gateway, "account_doubted")
        job = await ended(client, odd)
    assert (job["status"], job["error"]["code"]) == ("FAILED", "upstream_rejected")
    assert job["error"]["message"] == "Insufficient credits. You have … credits."
    assert await reason(gateway) is None


async def test_words_of_the_tenants_own_stop_nobody(gateway: Gateway, client: httpx.AsyncClient) -> None:
    words = "prompt: 'a sign that says insufficient credits' is too short"
    async with gateway.faults({"match": "submit", "fault": "answer", "status": 406, "error": words, "count": 1}):
        job = await ended(client, await submit(client, "sim-instant", prompt="a sign that says Insufficient Credits"))
    assert (job["status"], job["error"]["code"]) == ("FAILED", "upstream_rejected")
    assert await reason(gateway) is None


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (401, {"html": True}),
        (402, {"body": "Payment Required: insufficient credits", "content_type": "text/plain"}),
        (406, {"body": "Team spend limit reached", "content_type": "text/plain"}),
        (401, {"body": ""}),
    ],
    ids=["401 html", "402 text", "406 text", "401 empty"],
)
async def test_a_page_of_something_in_between_fails_its_job_alone(
    gateway: Gateway, client: httpx.AsyncClient, status: int, page: dict[str, Any]
) -> None:
    slug = f"walled-{uuid4().hex[:8]}"
    async with gateway.faults({"match": "submit", "slug": slug, "fault": "answer", "status": status, **page}):
        jobs = [await submit(client, slug, prompt=f"attack {number}") for number in range(3)]
        for shown in jobs:
            job = await ended(client, shown)
            assert (job["status"], job["error"]["code"]) == ("FAILED", "upstream_rejected")
            assert await reason(gateway) is None
        assert (await ended(client, await submit(client, "sim-instant")))["status"] == "COMPLETED"


@pytest.mark.slow
async def test_a_page_that_answers_our_balance_too_stops_submits(gateway: Gateway, client: httpx.AsyncClient) -> None:
    """Then it is our key that is refused, whoever wrote it down."""
    page = {"fault": "answer", "status": 401, "html": True}
    await asyncio.sleep(FRESH_SECONDS)  # a balance that was read before is believed for so long
    async with gateway.faults({"match": "submit", **page}, {"match": "credits", **page}):
        first = await submit(client, "sim-instant")
        await eventually(lambda: gateway.sql("SELECT FROM ops.upstream_now WHERE paused_reason = 'account'"))
    await back_in_line(gateway, "account")
    assert (await ended(client, first))["status"] == "COMPLETED"
    assert await reason(gateway) is None


@pytest.mark.slow
async def test_a_worker_that_stops_while_it_judges_says_that_nothing_was_started(
    gateway: Gateway, client: httpx.AsyncClient
) -> None:
    worker = next(one for one in gateway.processes if one.log.name.startswith("worker") and one.running())
    await asyncio.sleep(FRESH_SECONDS)
    refusal = {"match": "submit", "slug": "odd", "fault": "answer", "status": 406, "error": NO_CREDITS}
    async with gateway.faults(refusal, {"match": "credits", "fault": "hang"}):
        odd = await submit(client, "odd")
        await eventually(lambda: gateway.sql("SELECT FROM jobs WHERE state = 'sending'"))
        assert await worker.stop() == 0
    try:
        job_id = UUID(odd.removeprefix("job_"))
        [row] = await gateway.sql("SELECT state FROM jobs WHERE id = $1", job_id)
        assert row["state"] == "queued"
        [event] = await gateway.sql("SELECT reason FROM job_events WHERE job_id = $1 ORDER BY seq DESC LIMIT 1", job_id)
        assert event["reason"] == "account_doubted"
    finally:
        async with gateway.worker():
            await gateway.sql("UPDATE jobs SET due_at = now() WHERE state = 'queued'")
            assert (await ended(client, odd))["status"] == "COMPLETED"
