"""A 403 fails its own job. Only where 403s agree does a model wait, and then no longer than the upstream refuses it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.core.ids import find_id
from tests.gateway import Gateway, ended, eventually, running_gateway
from tests.servers import Urls, temporary_database

WORDS = "Your account is not permitted to use this model"


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One of its own: workers of it are killed."""
    directory = tmp_path_factory.mktemp("forbidden")
    async with (
        temporary_database(servers.database, template=servers.template) as url,
        running_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1) as gateway,
    ):
        yield gateway


@asynccontextmanager
async def tenants(gateway: Gateway, number: int) -> AsyncIterator[list[httpx.AsyncClient]]:
    """So many new tenants, each as a client."""
    async with AsyncExitStack() as stack:
        made = [await gateway.tenant() for _ in range(number)]
        yield [
            await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=60))
            for tenant in made
        ]


@pytest.fixture
async def model(gateway: Gateway) -> str:
    """A model that no other test asks for, with a short run time."""
    slug = f"walled-{uuid4().hex[:8]}"
    await gateway.sql("INSERT INTO models (slug, run_seconds) VALUES ($1, 0.02)", slug)
    return slug


def forbids(model: str, **given: Any) -> dict[str, Any]:
    return {"match": "submit", "slug": model, "fault": "answer", "status": 403} | (given or {"error": WORDS})


async def submit(client: httpx.AsyncClient, model: str, **given: Any) -> str:
    """The id of a new job, which must be accepted."""
    answer = await client.post("/api/v1/jobs", json={"model": model, "input": given})
    assert answer.status_code == 202, answer.text
    shown: str = answer.json()["id"]
    return shown


async def fails(client: httpx.AsyncClient, model: str, **given: Any) -> dict[str, Any]:
    job = await ended(client, await submit(client, model, **given))
    assert (job["status"], job["error"]["code"]) == ("FAILED", "upstream_rejected")
    return job


async def completes(client: httpx.AsyncClient, *shown: str) -> None:
    for one in shown:
        assert (await ended(client, one))["status"] == "COMPLETED"


async def pauses(gateway: Gateway, model: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await gateway.sql("SELECT * FROM ops.pauses WHERE model = $1", model)]


async def due(gateway: Gateway, model: str) -> None:
    """The next probe may go now."""
    await gateway.sql("UPDATE pauses SET probe_at = now() WHERE model = $1 AND probe_job_id IS NULL", model)


async def hold(gateway: Gateway, model: str) -> None:
    """No probe goes until the test says so."""
    await gateway.sql("UPDATE pauses SET probe_at = now() + interval '1 hour' WHERE model = $1", model)


async def states(gateway: Gateway, shown: list[str]) -> list[str]:
    ids = [find_id("job", one) for one in shown]
    return sorted(row["state"] for row in await gateway.sql("SELECT state FROM jobs WHERE id = ANY ($1::uuid[])", ids))


async def waystation(gateway: Gateway, *args: str) -> str:
    """What the command says, which must end well."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app.cli", *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=kept | gateway.settings(),
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


@pytest.mark.parametrize("page", [{"html": True}, {"body": "Forbidden", "content_type": "text/plain"}])
async def test_a_page_of_a_firewall_fails_its_job_alone(gateway: Gateway, model: str, page: dict[str, Any]) -> None:
    async with tenants(gateway, 2) as (first, second):
        async with gateway.faults(forbids(model, **page)):
            for number, client in enumerate((first, second, first, second)):
                await fails(client, model, prompt=f"attack {number}")
        await completes(first, await submit(first, model, prompt="a cat"))
    assert await pauses(gateway, model) == []
    [row] = await gateway.sql("SELECT enabled, disabled_reason FROM models WHERE slug = $1", model)
    assert tuple(row) == (True, None)


@pytest.mark.slow
async def test_one_403_of_the_upstreams_own_is_the_jobs_own_too(gateway: Gateway, model: str) -> None:
    async with tenants(gateway, 2) as (first, second):
        async with gateway.faults(forbids(model)):
            job = await fails(first, model, prompt="a", seed=1)
            await fails(first, model, prompt="a", seed=2)
        assert job["error"]["message"] == WORDS
        await completes(second, await submit(second, model))
        async with gateway.faults(forbids(model)):
            await fails(second, model)
        await completes(first, await submit(first, model))
    assert await pauses(gateway, model) == []


@pytest.mark.slow
async def test_two_tenants_403s_let_the_model_wait_until_a_probe_is_accepted(gateway: Gateway, model: str) -> None:
    async with tenants(gateway, 3) as (first, second, third):
        async with gateway.faults(forbids(model)):
            await fails(first, model)
            await fails(second, model)
            [pause] = await pauses(gateway, model)
            assert (pause["tenant"], pause["paused_by"], pause["note"]) == (None, "upstream", WORDS)
            await hold(gateway, model)
            shown = [await submit(third, model, number=number) for number in range(4)]
            quote = (await third.post("/api/v1/jobs/quote", json={"model": model, "input": {}})).json()
            assert (quote["accepted"], quote["binding"], quote["paused_by"]) == (True, "paused", "upstream")
            assert (await third.get(f"/api/v1/models/{model}")).json()["paused_by"] == "upstream"
            await completes(third, await submit(third, "sim-instant"))
            await due(gateway, model)
            refused = "SELECT FROM ops.pauses WHERE model = $1 AND refused_probes > 0 AND probe_job_id IS NULL"
            await eventually(lambda: gateway.sql(refused, model))
            await hold(gateway, model)
            [pause] = await pauses(gateway, model)
            one_by_one = ["failed"] * pause["refused_probes"] + ["queued"] * (4 - pause["refused_probes"])

            async def told() -> bool:
                return await states(gateway, shown) == one_by_one

            await eventually(told)
        await due(gateway, model)
        jobs = [await ended(third, one) for one in shown]
        failed = pause["refused_probes"]
        assert 0 < failed < 4
        assert sorted(job["status"] for job in jobs) == ["COMPLETED"] * (4 - failed) + ["FAILED"] * failed
        assert await pauses(gateway, model) == []
        assert (await third.get(f"/api/v1/models/{model}")).json()["paused_by"] is None
        await completes(first, await submit(first, model))
    logged = "".join(process.log.read_text() for process in gateway.processes)
    told = [line for line in logged.splitlines() if model in line and "model.paused" in line]
    assert len(told) == 1
    assert "warning" in told[0].lower()


async def test_one_tenants_403s_let_its_own_jobs_wait_alone(gateway: Gateway, model: str) -> None:
    async with tenants(gateway, 2) as (first, second):
        async with gateway.faults(forbids(model)):
            await fails(first, model, prompt="a")
            await fails(first, model, prompt="b")
        [pause] = await pauses(gateway, model)
        assert (pause["tenant"] is not None, pause["paused_by"]) == (True, "upstream")
        waits = await submit(first, model)
        await completes(second, await submit(second, model))
        assert len(await pauses(gateway, model)) == 1, "another tenant's success says nothing of this one"
        await due(gateway, model)
        await completes(first, waits)
        assert await pauses(gateway, model) == []


async def test_an_operator_may_lift_it(gateway: Gateway, model: str) -> None:
    async with tenants(gateway, 2) as (first, second):
        async with gateway.faults(forbids(model)):
            await fails(first, model)
            await fails(second, model)
        await hold(gateway, model)
        waits = await submit(first, model)
        said = await waystation(gateway, "resume", "--model", model)
        assert said.startswith(f"resumed: submits of {model} (paused by the upstream's 403s)")
        await completes(first, waits)
        assert await pauses(gateway, model) == []
    assert await gateway.sql("SELECT FROM ops.audit WHERE action = 'pause.lift' AND target = $1", model)


@pytest.mark.slow
async def test_workers_that_are_killed_with_the_probe_leave_no_pause_for_ever(gateway: Gateway, model: str) -> None:
    holder = """
        SELECT pid, job.id FROM pauses
        JOIN jobs AS job ON job.id = probe_job_id JOIN processes ON processes.id = job.owner
        WHERE pauses.model = $1 AND job.state = 'sending'
    """
    async with tenants(gateway, 3) as (first, second, third), gateway.worker(), gateway.worker():
        async with gateway.faults(forbids(model)):
            await fails(first, model)
            await fails(second, model)
        shown = [await submit(third, model, number=number) for number in range(4)]
        async with gateway.faults({"match": "submit", "slug": model, "fault": "hang", "count": 1}):
            await due(gateway, model)
            [(pid, job_id)] = await eventually(lambda: gateway.sql(holder, model))
            os.kill(pid, signal.SIGKILL)
            unknown = "SELECT FROM jobs WHERE id = $1 AND state = 'unknown'"
            await eventually(lambda: gateway.sql(unknown, job_id))
            await gateway.sql("UPDATE pauses SET probe_at = now() WHERE model = $1", model)
            others = [one for one in shown if find_id("job", one) != job_id]
            assert len(others) == 3
            await completes(third, *others)
        assert await pauses(gateway, model) == []
    beside = """
        SELECT FROM attempts AS probe JOIN attempts AS other
            ON other.job_id <> probe.job_id AND other.sent_at BETWEEN probe.sent_at AND probe.settled_at
        JOIN jobs ON jobs.id = other.job_id
        WHERE probe.job_id = $1 AND jobs.model = $2
    """
    assert await gateway.sql(beside, job_id, model) == [], "never two at a time"
