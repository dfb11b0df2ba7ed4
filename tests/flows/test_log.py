"""What went wrong is in the workers' logs: each change once, with the ids that people see, and never a secret."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from app.core.ids import find_id
from tests.doubles.receiver import receiving, says
from tests.gateway import FINAL, SECRET, UPSTREAM_KEY, Gateway, ended, eventually, opened_gateway
from tests.servers import Urls, temporary_database

WORKERS = 2
MODELS = ("sim-fail", "sim-instant", "log-walled", "log-lost", "log-odd", *(f"log-{number}" for number in range(4)))
FAILING = 150
SECONDS = 60.0


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One of its own, with two workers that log JSON."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(temporary_database(servers.database, template=servers.template))
        directory = tmp_path_factory.mktemp("log")
        opened = opened_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1, speed=1000.0)
        gateway, [listener] = await stack.enter_async_context(opened)
        for _ in range(WORKERS):
            await stack.enter_async_context(gateway.worker(LOG_FORMAT="json"))
        await stack.enter_async_context(gateway.api(listener, LOG_FORMAT="json"))
        await gateway.sql("INSERT INTO models (slug, run_seconds) SELECT unnest($1::text[]), 0.02", list(MODELS))
        yield gateway


@asynccontextmanager
async def caller(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A tenant of its own."""
    tenant = await gateway.tenant()
    async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=60) as client:
        yield client


async def submit(client: httpx.AsyncClient, model: str, **given: Any) -> str:
    answer = await client.post("/api/v1/jobs", json={"model": model, "input": given})
    assert answer.status_code == 202, answer.text
    shown: str = answer.json()["id"]
    return shown


def text(gateway: Gateway) -> str:
    return "".join(path.read_text() for path in sorted(gateway.directory.glob("*-*.log")))


def warnings(gateway: Gateway, event: str, **keywords: Any) -> list[dict[str, Any]]:
    """All lines of this event, in all logs, whose keywords have these values."""
    lines = [json.loads(line) for line in text(gateway).splitlines() if line.startswith("{") and line.endswith("}")]
    found = [line for line in lines if line["event"] == event and keywords.items() <= line.items()]
    assert all(line["level"] in ("warning", "error") for line in found)
    return found


def told(gateway: Gateway, event: str, name: str = "job_ids", **keywords: Any) -> list[str]:
    """The ids in all lines of this event."""
    return [shown for line in warnings(gateway, event, **keywords) for shown in line[name]]


async def until_told(gateway: Gateway, ids: Iterable[str], event: str, name: str = "job_ids") -> None:
    """Wait until all of these are in lines of this event: equal warnings are collected for some seconds."""
    wanted = set(ids)

    async def all_told() -> bool:
        return wanted <= set(told(gateway, event, name))

    await eventually(all_told, seconds=SECONDS, gap_seconds=0.2)


async def once(look: Callable[[], list[Any]]) -> Any:
    """The one thing that `look` finds; AssertionError where there is none in time, or more."""

    async def found() -> list[Any]:
        return look()

    (one,) = await eventually(found, seconds=SECONDS)
    return one


async def until(gateway: Gateway, query: str, *arguments: object) -> None:
    """Wait until the query has rows."""
    await eventually(lambda: gateway.sql(query, *arguments), seconds=SECONDS)


async def configure(gateway: Gateway, **changes: Any) -> None:
    async with httpx.AsyncClient(base_url=gateway.upstream_url, timeout=60) as client:
        assert (await client.patch("/_simulator/config", json=changes)).status_code == 200


@pytest.mark.slow
async def test_each_of_many_failures_is_told_once_in_few_lines(gateway: Gateway) -> None:
    async with caller(gateway) as client:
        jobs = await asyncio.gather(*(submit(client, "sim-fail", prompt=str(number)) for number in range(FAILING)))
        completed = await submit(client, "sim-instant")
        for job in jobs:
            assert (await ended(client, job, seconds=SECONDS))["status"] == "FAILED"
        assert (await ended(client, completed))["status"] == "COMPLETED"
    await until_told(gateway, jobs, "job.failed")
    assert sorted(told(gateway, "job.failed", model="sim-fail", code="upstream_failed")) == sorted(jobs)
    lines = warnings(gateway, "job.failed", model="sim-fail")
    assert sum(line["count"] for line in lines) == FAILING
    assert len(lines) < FAILING / 3
    assert completed not in text(gateway)


async def test_an_unknown_submission_is_told_when_it_becomes_so_and_when_it_fails(gateway: Gateway) -> None:
    lost = {"match": "submit", "slug": "log-lost", "fault": "lose_answer", "how": "close"}
    async with gateway.faults(lost), caller(gateway) as client:
        job = await submit(client, "log-lost")
        await until(gateway, "SELECT FROM jobs WHERE model = 'log-lost' AND state = 'unknown'")
        line = await once(lambda: [one for one in warnings(gateway, "job.unknown") if job in one["job_ids"]])
        assert (line["model"], line["count"]) == ("log-lost", 1)
        assert re.fullmatch("[a-z_]+", line["reason"])
        await gateway.sql("UPDATE jobs SET due_at = now() WHERE model = 'log-lost'")
        assert (await ended(client, job, seconds=SECONDS))["error"]["code"] == "submission_unknown"
        assert await once(lambda: told(gateway, "job.failed", code="submission_unknown")) == job
    assert told(gateway, "job.unknown") == [job]


async def test_a_pause_for_the_account_is_told_when_it_begins_and_when_it_is_over(gateway: Gateway) -> None:
    async with caller(gateway) as client:
        await configure(gateway, credits=0.0)
        jobs = [await submit(client, "sim-instant") for _ in range(3)]
        for refusals in (1, 2, 3):  # the pause is lengthened, which is no change
            await until(gateway, "SELECT FROM upstream_state WHERE pauses >= $1", refusals)
            if refusals == 3:
                await configure(gateway, credits=1000.0)

            async def due() -> list[Any]:
                await gateway.sql("UPDATE upstream_state SET paused_until = now() WHERE paused_until IS NOT NULL")
                return await gateway.sql("UPDATE jobs SET due_at = now() WHERE state = 'queued' RETURNING id")

            await eventually(due, seconds=SECONDS)

        async def all_ended() -> bool:
            await gateway.sql("UPDATE upstream_state SET paused_until = now() WHERE paused_until IS NOT NULL")
            await gateway.sql("UPDATE jobs SET due_at = now() WHERE state = 'queued'")
            return all([(await client.get(f"/api/v1/jobs/{job}")).json()["status"] in FINAL for job in jobs])

        await eventually(all_ended, seconds=SECONDS, gap_seconds=0.3)
    await until(gateway, "SELECT FROM upstream_state WHERE paused_reason IS NULL")
    await once(lambda: warnings(gateway, "upstream.submits_resumed"))
    assert len(warnings(gateway, "upstream.submits_paused")) == 1


async def test_a_model_that_is_paused_and_resumed_is_told_with_each(gateway: Gateway) -> None:
    words = "Your account is not permitted to use this model"
    forbids = {"match": "submit", "slug": "log-walled", "fault": "answer", "status": 403, "error": words}
    async with caller(gateway) as one, caller(gateway) as two:
        async with gateway.faults(forbids):
            failed = [await submit(client, "log-walled") for client in (one, two)]
            for client, job in zip((one, two), failed, strict=True):
                assert (await ended(client, job, seconds=SECONDS))["error"]["code"] == "upstream_rejected"
            line = await once(lambda: warnings(gateway, "model.paused", model="log-walled"))
            assert (line["tenant_id"], line["reason"]) == (None, words)
        waiting = await submit(one, "log-walled")

        async def probed() -> bool:
            await gateway.sql("UPDATE pauses SET probe_at = now() WHERE model = 'log-walled' AND probe_job_id IS NULL")
            return (await one.get(f"/api/v1/jobs/{waiting}")).json()["status"] == "COMPLETED"

        await eventually(probed, seconds=SECONDS, gap_seconds=0.3)
    await once(lambda: warnings(gateway, "model.resumed", model="log-walled"))
    await until_told(gateway, failed, "job.failed")
    assert sorted(told(gateway, "job.failed", code="upstream_rejected", model="log-walled")) == sorted(failed)
    assert len(warnings(gateway, "model.paused")) == 1


@pytest.mark.slow
async def test_an_outage_of_the_upstream_is_told_when_it_begins_and_when_it_is_over(gateway: Gateway) -> None:
    away = {"fault": "answer", "status": 503}
    async with caller(gateway) as one, caller(gateway) as two:
        async with gateway.faults({**away, "match": "status"}, {**away, "match": "credits"}):
            jobs = [(client, await submit(client, f"log-{number}")) for number in range(4) for client in (one, two)]
            await until(gateway, "SELECT FROM ops.upstream_now WHERE paused_reason = 'unavailable'")
        await until(gateway, "SELECT FROM ops.upstream_now WHERE paused_reason IS NULL")
        await gateway.sql("UPDATE jobs SET due_at = now() WHERE state = 'running' AND lease_until IS NULL")
        for client, job in jobs:
            assert (await ended(client, job, seconds=SECONDS))["status"] == "COMPLETED"
    await until_told(gateway, [job for _, job in jobs], "poll.no_answer")
    await once(lambda: warnings(gateway, "upstream.available"))
    await once(lambda: warnings(gateway, "upstream.unavailable"))


@pytest.mark.slow
async def test_an_endpoint_that_is_disabled_and_a_delivery_that_is_given_up_are_told(gateway: Gateway) -> None:
    async with receiving(says("410 Gone")) as gone, caller(gateway) as client:
        answer = await client.post("/api/v1/webhook-endpoints", json={"url": gone.url})
        assert answer.status_code == 201, answer.text
        endpoint = answer.json()
        for job in [await submit(client, "sim-instant") for _ in range(3)]:
            assert (await ended(client, job))["status"] == "COMPLETED"
        line = await once(lambda: warnings(gateway, "endpoint.disabled", endpoint_id=endpoint["id"]))
        assert (line["reason"], line["tenant_id"][:4]) == ("gone", "ten_")
        endpoint_id = find_id("whe", endpoint["id"])
        await until(
            gateway, "SELECT FROM webhook_deliveries WHERE status = 'exhausted' AND target_id = $1", endpoint_id
        )
        given_up = await client.get("/api/v1/deliveries")
        attempted = {one["id"] for one in given_up.json()["items"] if one["status"] == "exhausted" and one["attempts"]}
        await until_told(gateway, attempted, "delivery.exhausted", "delivery_ids")
    ids = told(gateway, "delivery.exhausted", "delivery_ids")
    assert len(ids) == len(set(ids))
    assert endpoint["secret"] not in text(gateway)


async def test_ids_are_those_that_people_see_and_secrets_are_not_there(gateway: Gateway) -> None:
    """After all of the above; alone it has a failure of its own to look at."""
    async with caller(gateway) as client:
        job = await submit(client, "sim-fail")
        assert (await ended(client, job, seconds=SECONDS))["status"] == "FAILED"
        await until_told(gateway, [job], "job.failed")
        key = client.headers["x-api-key"]
    said = text(gateway)
    rows = await gateway.sql("SELECT id FROM jobs UNION SELECT id FROM tenants UNION SELECT id FROM webhook_deliveries")
    bare = [row["id"] for row in rows if re.search(rf"(?<![a-z]_){row['id'].hex}|{row['id']}", said)]
    assert bare == []
    assert not [secret for secret in (SECRET, UPSTREAM_KEY, key, "whsec_") if secret in said]
