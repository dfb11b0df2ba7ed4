"""Rows that another changes while a statement waits for them."""

import asyncio
import dataclasses
from typing import Any

import asyncpg

from app.core.database.db import Database
from app.core.ids import new_id
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import PollRecord, record_polls
from app.jobs.claiming.turns import claim_queued
from app.jobs.models import ErrorCode, State
from app.jobs.operations import request_cancel
from app.jobs.submit.writer import SubmitWriter
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import SUBMISSION, Engine, wrong


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


async def test_a_submit_finds_the_credit_granted_meanwhile(url: str, database: Database) -> None:
    poor = await make_caller(database, credits_micro=0)
    submission = dataclasses.replace(SUBMISSION, id=new_id(), tenant_id=poor.tenant.id, key_id=poor.key.id)
    writer = SubmitWriter(database, alerted=lambda: None)
    granted = ["UPDATE balances SET granted = granted + 100000 WHERE tenant_id = $1"]
    stored = await while_held(url, poor, granted, lambda: writer.submit(submission))
    assert stored.job_id == submission.id


async def test_a_claim_finds_the_job_that_came_meanwhile(
    url: str, database: Database, caller: Caller, engine: Engine
) -> None:
    """Its line was empty, and another tenant's was not, when the claim began and waited for the one before it."""
    other = await make_caller(database)
    await engine.submit(caller, 3)
    await engine.submit(other, 3)
    await engine.claim(2)
    more = [
        "SELECT FROM upstream_state WHERE $1::uuid IS NOT NULL FOR UPDATE",
        "UPDATE queues SET queued = queued + 2, ready = ready + 2, claimed = claimed + 2 WHERE subject_id = $1",
    ]
    rows = await while_held(url, caller, more, lambda: engine.claim(64))
    assert len(rows) >= 3


async def test_an_end_finds_the_cancel_asked_for_meanwhile(
    url: str, database: Database, caller: Caller, engine: Engine
) -> None:
    asked = ["UPDATE jobs SET cancel_requested_at = now() WHERE tenant_id = $1"]
    [job_id] = await engine.sending(caller)
    no = {"to_state": State.FAILED, "reason": "rejected", "error_code": ErrorCode.UPSTREAM_REJECTED, "message": "no"}
    [row] = await while_held(url, caller, asked, lambda: engine.record(job_id, 1, OutcomeKind.REJECTED, **no))
    assert row.state == State.CANCELED
    other = await make_caller(database)
    [running] = await engine.running(other)
    async with database.transaction() as session:
        [claim] = (await claim_running(session, owner=engine.owner, reads_max=9, lease_seconds=30)).rows
    failed = Step(State.FAILED, "failed", None, error_code=ErrorCode.UPSTREAM_FAILED, message="no")
    record = PollRecord(running, claim.fence, failed, 1.0, 0.1, None, 0, ())

    async def end() -> State:
        async with database.transaction() as session:
            return State((await record_polls(session, records=[record])).rows[0].state)

    assert await while_held(url, other, asked, end) is State.CANCELED


GRANTED = "UPDATE upstream_state SET tokens = tokens - 5 WHERE $1::uuid IS NOT NULL"
"""What every claim that takes something does, and other claims wait for."""


async def claimed(database: Database, engine: Engine) -> int:
    """How many jobs one claim takes."""
    async with database.transaction() as session:
        return len((await claim_queued(session, owner=engine.owner, jobs_max=64, lease_seconds=30)).rows)


async def test_a_claim_counts_what_was_granted_meanwhile(
    url: str, database: Database, caller: Caller, engine: Engine
) -> None:
    await engine.submit(caller, 10)
    async with database.statement() as session:
        await session.execute("UPDATE upstream_state SET rate = 100, limit_per_minute = 6100, tokens = 25")
    minute = """
    INSERT INTO upstream_seconds (at, submits)
    SELECT date_trunc('second', now()) - interval '9 s', 6006 WHERE $1::uuid IS NOT NULL
    """
    assert await while_held(url, caller, [GRANTED, minute], lambda: claimed(database, engine)) == 2, "6,006 of 6,008"


async def test_a_claim_counts_what_is_under_way_since(
    url: str, database: Database, caller: Caller, engine: Engine
) -> None:
    other = await make_caller(database)
    await engine.submit(caller, 10)
    async with database.statement() as session:
        await session.execute("UPDATE upstream_state SET rate = 10000, tokens = 2500, max_in_flight = 7")
    under_way = f"UPDATE queues SET in_flight = 5 WHERE subject_id = '{other.tenant.id}' AND $1::uuid IS NOT NULL"
    assert await while_held(url, caller, [GRANTED, under_way], lambda: claimed(database, engine)) == 2
