"""Counts of a queue that another changes while a statement waits for it."""

import asyncio
from typing import Any

import asyncpg

from app.core.db import Database
from app.jobs.models import State
from app.jobs.operations import request_cancel
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, wrong


async def while_held(url: str, caller: Caller, held: list[str], act: Any) -> Any:
    """What `act` gives that began while these statements were not committed yet; $1 is the tenant."""
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            for sql in held:
                await other.execute(sql, caller.tenant.id)
            acting = asyncio.create_task(act())
            await asyncio.sleep(0.3)
            assert not acting.done()
        return await acting
    finally:
        await other.close()


async def test_a_cancel_finds_the_job_claimed_meanwhile(
    url: str, database: Database, caller: Caller, engine: Engine
) -> None:
    [job_id] = await engine.submit(caller)

    async def cancel() -> State:
        async with database.transaction() as session:
            return await request_cancel(session, tenant_id=caller.tenant.id, job_id=job_id)

    claim = [
        "UPDATE queues SET claimed = claimed + 1 WHERE subject_id = $1",
        "UPDATE jobs SET owner = gen_random_uuid(), fence = 1, lease_until = now() + interval '1 min' WHERE tenant_id = $1",
    ]
    assert await while_held(url, caller, claim, cancel) is State.CANCELED
    assert await wrong(database) == {}
