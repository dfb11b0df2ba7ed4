"""Jobs that may not be sent hide none that may, and are not forgotten when they may be sent again."""

import asyncio
from uuid import UUID

import asyncpg

from app.admin.actions.tenancy import change_key, change_tenant
from app.admin.decide import KeySettings, TenantSettings
from app.core import clock
from app.core.database.db import Database
from app.jobs.claiming.turns import claim_queued
from app.jobs.places import open_places
from app.pace.models import What
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine, later, wrong
from tests.jobs.test_pausing import pause, resume
from tests.jobs.test_turns import buffers_of_a_claim, limit, queue_of, refuse


async def limit_key(database: Database, caller: Caller, max_in_flight: int | None) -> None:
    """Give a key a limit of its own, or take it away."""
    async with database.transaction() as session:
        await open_places(session, tenant_id=caller.tenant.id, key_id=caller.key.id)
        await session.execute("UPDATE api_keys SET max_in_flight = $2 WHERE id = $1", caller.key.id, max_in_flight)


async def end(engine: Engine, job_id: UUID) -> None:
    await refuse(engine, job_id, (await engine.get(job_id))["attempt"])


async def send(engine: Engine, most: int = 64) -> list[UUID]:
    """All that may go in claims of so many: opened."""
    sent: list[UUID] = []
    while rows := await engine.claim(most):
        await engine.open(rows)
        sent += [row.id for row in rows]
    return sent


async def test_keys_with_jobs_that_are_not_due_hide_no_key_with_room(
    database: Database, engine: Engine, caller: Caller
) -> None:
    for _ in range(25):
        other = await make_caller(database)
        await limit_key(database, other, 1)
        await engine.submit(other, not_before=later(days=300))
    last = await make_caller(database)
    await limit_key(database, last, 1)
    first, second = await engine.submit(last, 2)
    assert await send(engine) == [first]
    for _ in range(2):
        await engine.claim()
    assert (await engine.get(second))["aside"]
    await end(engine, first)
    went = [row.id for _ in range(5) for row in await engine.claim()]
    assert went == [second]


async def test_what_is_aside_comes_before_what_came_later(database: Database, engine: Engine, caller: Caller) -> None:
    await limit_key(database, caller, 1)
    job_ids = await engine.submit(caller, 4)
    assert await send(engine) == job_ids[:1]
    for _ in range(4):
        await engine.claim()
    assert (await engine.get(job_ids[3]))["aside"]
    under_way = job_ids[0]
    order = []
    for _ in range(6):
        await engine.submit(caller, created_at=clock.now())
        await end(engine, under_way)
        rows = []
        for _ in range(5):
            rows += await engine.claim(1)
        assert len(rows) == 1
        await engine.open(rows)
        under_way = rows[0].id
        order.append(job_ids.index(under_way) if under_way in job_ids else -1)
    assert order[:3] == [1, 2, 3]
    assert not await wrong(database)


async def test_paused_jobs_hide_nobody_elses(database: Database, engine: Engine, caller: Caller) -> None:
    await pause(database, model="paused")
    await engine.submit(caller, model="paused")
    other = await make_caller(database)
    [mine] = await engine.submit(other)
    async with database.statement() as session:
        await session.execute("UPDATE queues SET virtual_time = 1000 WHERE subject_id = $1", other.tenant.id)
    assert [row.id for row in await engine.claim(1)] == [mine]


async def test_the_late_hide_nobody_elses(database: Database, engine: Engine, caller: Caller) -> None:
    [late] = await engine.submit(caller)
    await engine.set(late, "deadline_at = now()")
    other = await make_caller(database)
    [mine] = await engine.submit(other)
    async with database.statement() as session:
        await session.execute("UPDATE queues SET virtual_time = 1000 WHERE subject_id = $1", other.tenant.id)
    assert [row.id for row in await engine.claim(1)] == [mine]


async def test_many_of_a_full_key_hide_nobody_for_long(database: Database, engine: Engine, caller: Caller) -> None:
    await limit_key(database, caller, 0)
    await engine.submit(caller, 300)
    other = await make_caller(database)
    await engine.submit(other)
    async with database.statement() as session:
        await session.execute("UPDATE queues SET virtual_time = 1000 WHERE subject_id = $1", other.tenant.id)
    claims = 1
    while not await engine.claim(1):
        claims += 1
        assert claims < 1000
    assert claims < 20


async def test_many_of_a_full_key_hide_those_of_others_of_the_tenant(
    database: Database, engine: Engine, caller: Caller
) -> None:
    await limit_key(database, caller, 0)
    await limit(database, caller, max_in_flight=1)
    await engine.submit(caller, 300)
    key = (await make_caller(database)).key
    await engine.submit(caller, key_id=key.id, created_at=clock.now())
    claims = 1
    while not await engine.claim(64):
        claims += 1
        assert claims < 1000
    assert claims < 20


async def test_a_weight_counts_at_once(database: Database, engine: Engine, caller: Caller) -> None:
    await limit(database, caller, weight=0.001)
    other = await make_caller(database)
    await limit(database, other, max_in_flight=100_000)
    await engine.submit(caller, held_micro=5_000_000)
    await engine.submit(other, 600, held_micro=50_000)
    await engine.claim(1)
    if not (await queue_of(database, caller))[2]:
        await engine.claim(1)
    assert (await queue_of(database, caller))[2] == 1
    [mine] = await engine.submit(caller, held_micro=5_000_000)
    async with database.transaction() as session:
        await change_tenant(session, by="me", tenant=caller.tenant.name, settings=TenantSettings(weight=1))
    went = [row.id for _ in range(5) for row in await engine.claim(64)]
    assert mine in went, "it has had five credits, the other one sixteen"


async def test_a_limited_key_of_a_paused_tenant_costs_claims_nothing(
    database: Database, engine: Engine, caller: Caller
) -> None:
    free = await make_caller(database)
    await engine.submit(free, 64)
    await engine.claim(1)
    before = await buffers_of_a_claim(database)
    await limit_key(database, caller, 5)
    await engine.submit(caller, 5_000)
    await pause(database, tenant=caller)
    async with database.statement() as session:
        await session.execute("ANALYZE jobs")
    after = await buffers_of_a_claim(database)
    assert after < before + 500, "set aside by a pause, it is not looked through"


async def test_a_not_before_of_long_ago_is_no_priority(database: Database, engine: Engine, caller: Caller) -> None:
    [urgent] = await engine.submit(caller, priority=9)
    await engine.submit(caller, priority=0, not_before=later(days=-3000))
    assert [row.id for row in await engine.claim(1)] == [urgent]


async def test_a_full_budget_lets_keys_wait_for_a_token(database: Database, engine: Engine, caller: Caller) -> None:
    """Where the only job that may go is out of line, the next claim comes with the next token."""
    await limit_key(database, caller, 1)
    first, _ = await engine.submit(caller, 2)
    assert await send(engine) == [first]
    await engine.claim()
    await end(engine, first)
    async with database.statement() as session:
        await session.execute(
            "UPDATE upstream_state SET rate = 2, tokens = 0, refilled_at = now(), limit_per_minute = 120"
        )
    async with database.transaction() as session:
        claimed = await claim_queued(session, owner=engine.owner, jobs_max=64, lease_seconds=30)
    assert claimed.wait_seconds is not None


async def test_a_pause_waits_for_no_queue_while_it_holds_one(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    other = await make_caller(database)
    low, high = sorted((caller, other), key=lambda one: one.tenant.id)
    await limit_key(database, high, 0)
    await engine.submit(high)
    await engine.claim()
    await engine.submit(low)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            lock = "SELECT FROM queues WHERE subject_id = $1 FOR UPDATE"
            await connection.execute(lock, low.tenant.id)
            pausing = asyncio.create_task(pause(database, tenant=low))
            await asyncio.sleep(0.3)
            await connection.execute(lock, high.tenant.id)  # as whoever submits for both
        assert await pausing == 1
    finally:
        await connection.close()


async def test_who_resumes_waits_for_no_job_while_he_holds_a_queue(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    [running] = await engine.running(caller)
    await engine.submit(caller)
    await pause(database, tenant=caller, what=What.ALL)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", running)
            resuming = asyncio.create_task(resume(database, tenant=caller))
            await asyncio.sleep(0.3)  # as an end that comes late
            await connection.execute("SELECT FROM queues WHERE subject_id = $1 FOR UPDATE", caller.tenant.id)
        assert await resuming == 2
    finally:
        await connection.close()


async def test_a_key_gets_its_places_beside_a_submit(url: str, database: Database, caller: Caller) -> None:
    async def change() -> None:
        async with database.transaction() as session:
            settings = KeySettings(max_in_flight=1, daily_credits=5_000_000)
            await change_key(session, by="me", key_id=caller.key.id, settings=settings)

    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():  # as the writer does
            await connection.execute("SELECT FROM queues WHERE subject_id = $1 FOR UPDATE", caller.tenant.id)
            await connection.execute("SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE", caller.tenant.id)
            changing = asyncio.create_task(change())
            await asyncio.sleep(0.3)
            await connection.execute("UPDATE queues SET queued = queued WHERE subject_id = $1", caller.tenant.id)
        await changing
        assert await connection.fetchval("SELECT max_in_flight FROM queues WHERE subject_id = $1", caller.key.id) == 1
    finally:
        await connection.close()


async def test_a_locked_tenant_is_passed_over_and_keeps_its_turn(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    other = await make_caller(database)
    await engine.submit(caller, 2)
    theirs = await engine.submit(other, 3)
    async with database.statement() as session:
        await session.execute("UPDATE queues SET virtual_time = 5 WHERE subject_id = $1", caller.tenant.id)
        await session.execute("UPDATE queues SET virtual_time = 7 WHERE subject_id = $1", other.tenant.id)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM queues WHERE subject_id = $1 FOR UPDATE", caller.tenant.id)
            async with asyncio.timeout(10), database.transaction() as session:
                claimed = await claim_queued(session, owner=engine.owner, jobs_max=64, lease_seconds=30)
            assert [row.id for row in claimed.rows] == theirs[:1], "nobody is far ahead when it has its turn again"
            assert claimed.more
            assert claimed.passed_over == [caller.tenant.id]
        async with database.statement() as session:
            assert float(await session.fetchval("SELECT virtual_time FROM upstream_state")) == 5
        assert len(await engine.claim()) == 4
    finally:
        await connection.close()
    assert not await wrong(database)


async def test_of_a_tenant_with_a_locked_key_nothing_is_claimed(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    """Its limit could not be kept."""
    await limit_key(database, caller, 1)
    job_ids = await engine.submit(caller, 2)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM queues WHERE subject_id = $1 FOR UPDATE", caller.key.id)
            async with asyncio.timeout(10), database.transaction() as session:
                claimed = await claim_queued(session, owner=engine.owner, jobs_max=64, lease_seconds=30)
            assert claimed.rows == []
            assert claimed.passed_over == [caller.tenant.id]
        assert [row.id for row in await engine.claim()] == job_ids[:1]
    finally:
        await connection.close()
