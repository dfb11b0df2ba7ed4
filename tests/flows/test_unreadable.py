"""Answers that cannot be read, and models that do not answer, stop nobody else; and the upstream's outage stops all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.jobs.claiming.decide import RESULT_TRIES
from tests.gateway import Gateway, ended, eventually, opened_gateway
from tests.servers import Urls, temporary_database

RESULT_BYTES_MAX = 3_000_000
NUMBERS = '{"status":"COMPLETED","output":[' + "1," * 1_100_000 + '2],"metrics":{"cost":0.01}}'
UNREADABLE: dict[str, dict[str, Any]] = {
    "odd-encoded": {"body_base64": "H4sIAAAAAAAA", "headers": {"content-encoding": "gzip"}},
    "odd-too-large": {"body": '{"status":"COMPLETED","output":"' + "x" * RESULT_BYTES_MAX + '"}'},
    "odd-no-json": {"body": "done"},
}
CODES = {"odd-encoded": "result_unreadable", "odd-too-large": "result_too_large", "odd-no-json": "result_unreadable"}
GOOD = ("sim-instant", "sim-echo", "sim-images")
OTHERS = tuple(f"other-{number}" for number in range(4))


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One of its own, since the breaker is everybody's; with a worker that keeps results of 3 MB."""
    directory = tmp_path_factory.mktemp("unreadable")
    async with temporary_database(servers.database, template=servers.template) as url:
        opened = opened_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1, speed=1000.0)
        async with opened as (gateway, [listener]):
            worker = gateway.worker(RESULT_BYTES_MAX=str(RESULT_BYTES_MAX), LOG_FORMAT="json")
            async with worker, gateway.api(listener):
                slugs = [*UNREADABLE, *GOOD, *OTHERS, "odd-silent", "odd-numbers"]
                await gateway.sql("INSERT INTO models (slug, run_seconds) SELECT unnest($1::text[]), 0.02", slugs)
                yield gateway


@asynccontextmanager
async def caller(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A tenant of its own."""
    tenant = await gateway.tenant()
    async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=40) as client:
        yield client


async def submit(client: httpx.AsyncClient, model: str) -> str:
    answer = await client.post("/api/v1/jobs", json={"model": model, "input": {"echo": 1}})
    assert answer.status_code == 202, answer.text
    shown: str = answer.json()["id"]
    return shown


async def breaker(gateway: Gateway) -> str | None:
    [row] = await gateway.sql("SELECT paused_reason FROM ops.upstream_now")
    found: str | None = row["paused_reason"]
    return found


async def warnings(gateway: Gateway, event: str, job: str) -> int:
    """How often the worker has said this of the job."""
    [log] = gateway.directory.glob("worker-*.log")
    return sum(event in line and job in line for line in log.read_text().splitlines())


@pytest.mark.slow
@pytest.mark.timeout(400)  # six tries take more than a minute by themselves
async def test_results_that_can_never_be_read_end_their_jobs_and_stop_nobody(gateway: Gateway) -> None:
    rules = [
        {"match": "result", "slug": slug, "fault": "answer", "status": 200, **given}
        for slug, given in UNREADABLE.items()
    ]
    async with gateway.faults(*rules), caller(gateway) as odd, caller(gateway) as other:
        bad = {await submit(odd, slug): slug for slug in UNREADABLE for _ in range(4)}
        canceled = next(iter(bad))
        assert (await odd.post(f"/api/v1/jobs/{canceled}/cancel")).status_code in (200, 202)
        await eventually(lambda: gateway.sql("SELECT FROM jobs WHERE unreadable > 1"))
        for model in GOOD:
            assert (await ended(other, await submit(other, model)))["status"] == "COMPLETED"
            assert await breaker(gateway) is None
        for job, slug in bad.items():
            shown = await ended(odd, job, seconds=240)
            if job == canceled:
                assert shown["status"] == "CANCELED"
                continue
            assert (shown["status"], shown["error"]["code"]) == ("FAILED", CODES[slug])
            assert shown["credits"]["charged"] == "0.000000"
            for event in ("poll.unreadable", "job.failed"):
                assert await eventually(partial(warnings, gateway, event, job)) == 1
    for job in set(bad) - {canceled}:
        job_id = UUID(job.removeprefix("job_"))
        [row] = await gateway.sql("SELECT cost_micro FROM jobs WHERE id = $1", job_id)
        tries = await gateway.sql("SELECT FROM upstream_exchanges WHERE job_id = $1 AND kind = 'fetch'", job_id)
        [exposed] = await gateway.sql("SELECT reason, amount FROM exposures WHERE job_id = $1", job_id)
        assert row["cost_micro"] > 0, "told by the poll"
        assert tuple(exposed) == ("lost", row["cost_micro"])
        assert len(tries) == RESULT_TRIES
    [held] = await gateway.sql("SELECT sum(held)::bigint AS held FROM balances")
    assert held["held"] == 0


async def test_a_result_of_a_million_numbers_is_read_and_comes_back_unchanged(gateway: Gateway) -> None:
    rule = {"match": "result", "slug": "odd-numbers", "fault": "answer", "status": 200, "body": NUMBERS}
    async with gateway.faults(rule), caller(gateway) as client:
        job = await submit(client, "odd-numbers")
        assert (await ended(client, job))["status"] == "COMPLETED"
        answer = await client.get(f"/v2/requests/{job}")
        assert answer.status_code == 200
        assert NUMBERS[1:].partition(',"metrics"')[0] in answer.text


@pytest.mark.slow
async def test_polls_that_cannot_be_read_for_a_while_lose_nothing(gateway: Gateway) -> None:
    """A page of something in between; after a few of them the result is asked for instead."""
    rule = {"match": "status", "slug": "sim-images", "fault": "answer", "status": 200, "html": True}
    async with gateway.faults(rule), caller(gateway) as client:
        job = await submit(client, "sim-images")
        assert (await ended(client, job))["status"] == "COMPLETED"
        assert await breaker(gateway) is None


async def test_a_model_whose_calls_all_fail_stops_no_other(gateway: Gateway) -> None:
    """All that there is to judge by for a while: then the balance is asked for, and is told."""
    rule = {"match": "any", "slug": "odd-silent", "fault": "answer", "status": 500}
    async with caller(gateway) as odd, caller(gateway) as other:
        async with gateway.faults({**rule, "match": "status"}, {**rule, "match": "result"}):
            for _ in range(12):
                await submit(odd, "odd-silent")
            told = "SELECT FROM upstream_health WHERE model = '' AND NOT failed"
            await eventually(lambda: gateway.sql(told))
            [heard] = await gateway.sql("SELECT count(*) AS jobs FROM upstream_health WHERE failed")
            assert heard["jobs"] >= 5
            for model in GOOD:
                assert await breaker(gateway) is None
                assert (await ended(other, await submit(other, model)))["status"] == "COMPLETED"
        gone = "SELECT FROM jobs WHERE model = 'odd-silent' AND finished_at IS NULL"
        await gateway.sql("UPDATE jobs SET due_at = now() WHERE model = 'odd-silent' AND finished_at IS NULL")

        async def over() -> bool:
            return not await gateway.sql(gone)

        await eventually(over)


@pytest.mark.slow
async def test_an_outage_stops_submits_and_is_over_while_some_jobs_stay_bad(gateway: Gateway) -> None:
    away = {"match": "any", "fault": "answer", "status": 503}
    bad = {"match": "status", "slug": "odd-silent", "fault": "answer", "status": 500}
    async with (
        caller(gateway) as one,
        caller(gateway) as two,
        gateway.faults({**away, "match": "status"}, {**away, "match": "credits"}),
    ):
        for model in OTHERS:
            for client in (one, two):
                await submit(client, model)
        for _ in range(6):
            await submit(one, "odd-silent")

        async def open_() -> bool:
            return await breaker(gateway) == "unavailable"

        await eventually(open_)
        # nested: between two blocks the upstream would answer about these jobs
        async with gateway.faults(bad):

            async def closed() -> bool:
                return await breaker(gateway) is None

            await eventually(closed)
            left = await gateway.sql("SELECT FROM jobs WHERE model = 'odd-silent' AND finished_at IS NULL")
            assert len(left) == 6
            assert (await ended(two, await submit(two, "sim-instant")))["status"] == "COMPLETED"
            assert await breaker(gateway) is None
