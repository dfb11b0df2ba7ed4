"""What holds one tenant's rows, such as a process that was stopped in mid-transaction, delays no other tenant's jobs."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from app.core.ids import find_id
from tests.gateway import Gateway, ended, eventually, running_gateway
from tests.servers import Urls, temporary_database

UNFINISHED = "SELECT id, state FROM jobs WHERE tenant_id = $1 AND finished_at IS NULL ORDER BY id"
WAITING = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'waystation-worker' AND wait_event_type = 'Lock'
"""


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One of its own with one worker, which writes down the jobs of all."""
    directory = tmp_path_factory.mktemp("locked")
    async with (
        temporary_database(servers.database, template=servers.template) as url,
        running_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1) as gateway,
    ):
        yield gateway


async def submit(client: httpx.AsyncClient, model: str, number: int) -> list[str]:
    """The ids of new jobs."""
    given = {"model": model, "input": {"prompt": "x"}}
    answers = [await client.post("/api/v1/jobs", json=given) for _ in range(number)]
    assert {answer.status_code for answer in answers} == {202}
    return [answer.json()["id"] for answer in answers]


@pytest.mark.parametrize("table", ["queues", "balances"])
async def test_a_locked_tenant_delays_no_job_of_another(gateway: Gateway, table: str) -> None:
    locked, free = await gateway.tenant(), await gateway.tenant()
    async with contextlib.AsyncExitStack() as entered:
        theirs, ours = [
            await entered.enter_async_context(
                httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=40)
            )
            for tenant in (locked, free)
        ]
        async with gateway.faults({"match": "status", "slug": "locked-model", "fault": "answer", "status": 500}):
            their_ids = await submit(theirs, "locked-model", 2)
            sql = "SELECT tenant_id FROM jobs WHERE id = $1"
            [[tenant_id]] = await gateway.sql(sql, find_id("job", their_ids[0]))

            async def running() -> bool:
                return [row["state"] for row in await gateway.sql(UNFINISHED, tenant_id)] == ["running"] * 2

            await eventually(running)
            owner = await asyncpg.connect(gateway.database_url)
            entered.push_async_callback(owner.close)
            holding = owner.transaction()
            await holding.start()
            await owner.execute(f"SELECT FROM {table} WHERE tenant_id = $1 FOR UPDATE", tenant_id)
        # their jobs end
        await eventually(lambda: gateway.sql(WAITING))
        our_ends = [await ended(ours, one) for one in await submit(ours, "free-model", 4)]
        assert {end["status"] for end in our_ends} == {"COMPLETED"}
        assert await running(), "these are still locked"
        await holding.rollback()
        their_ends = [await ended(theirs, one) for one in their_ids]
        assert {end["status"] for end in their_ends} == {"COMPLETED"}
