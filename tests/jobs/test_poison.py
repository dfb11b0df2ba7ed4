"""A job that kills its holders is found and ended; what they held beside it is not blamed."""

from uuid import UUID

from app.core.database.db import Database
from app.core.process.heartbeat import beat
from app.jobs.claiming.claims import claim_running, hand_back
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import PollRecord, record_polls
from app.jobs.engine.sweeps import expire_waiting
from app.jobs.models import State
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, wrong

LEASE_SECONDS = 30.0


async def polled(engine: Engine, most: int = 100) -> dict[UUID, int]:
    """Claims of running jobs: id and fence."""
    async with engine.database.transaction() as session:
        rows = (await claim_running(session, owner=engine.owner, reads_max=most, lease_seconds=LEASE_SECONDS)).rows
    return {row.id: row.fence for row in rows}


async def answered(engine: Engine, claims: dict[UUID, int]) -> int:
    """These are still running, and due again; gives how many records held."""
    step = Step(State.RUNNING, "still_running", 0.0)
    async with engine.database.statement() as session:
        records = [PollRecord(job_id, fence, step, None, None, None, 0, ()) for job_id, fence in claims.items()]
        return len((await record_polls(session, records=records)).rows)


async def swept(database: Database) -> list[UUID]:
    async with database.statement() as session:
        return [row.id for row in await expire_waiting(session, lease_seconds=LEASE_SECONDS)]


async def test_the_third_holder_is_the_last(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.running(caller)
    for takeovers in range(3):
        assert await swept(database) == []
        assert set(await polled(engine)) == {job_id}
        assert (await engine.get(job_id))["takeovers"] == takeovers
        assert await polled(engine) == {}, "it is held"
        await engine.let_run_out()
    assert await polled(engine) == {}, "nobody takes it a fourth time"
    assert await swept(database) == [job_id]
    job = await engine.get(job_id)
    assert (job["state"], job["error_code"], job["lease_until"]) == ("failed", "poison", None)
    assert (await engine.events(job_id))[-1] == ("running", "failed", "poison")
    async with database.snapshot() as session:
        message = await session.fetchval("SELECT message FROM job_results WHERE job_id = $1", job_id)
    assert "three workers" in message
    assert not await wrong(database)


async def test_a_queued_job_that_is_never_sent(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.submit(caller)
    [canceled] = await engine.submit(caller)
    for _ in range(3):
        taken = []
        while rows := await engine.claim():  # suspects come one by one
            taken += [row.id for row in rows]
            async with database.statement() as session:  # … to this worker, which lets go of them without dying
                await session.execute("UPDATE jobs SET owner = gen_random_uuid() WHERE owner = $1", engine.owner)
        assert set(taken) == {job_id, canceled}
        await engine.let_run_out()
    await engine.set(canceled, "cancel_requested_at = now()")
    assert set(await swept(database)) == {job_id, canceled}
    assert (await engine.get(job_id))["error_code"] == "poison"
    assert (await engine.get(canceled))["state"] == "canceled"
    assert not await wrong(database)


async def test_a_record_clears_the_name(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.running(caller)
    for _ in range(5):
        for _ in range(2):
            await polled(engine)
            await engine.let_run_out()
        assert await answered(engine, await polled(engine)) == 1
        assert (await engine.get(job_id))["takeovers"] == 0
    assert await swept(database) == []


async def test_a_worker_that_ends_in_order_is_no_death(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.running(caller)
    for _ in range(5):
        assert set(await polled(engine)) == {job_id}
        async with database.statement() as session:
            await hand_back(session, owner=engine.owner)
        assert (await engine.get(job_id))["takeovers"] == 0


async def test_a_holder_that_lives_was_not_killed(database: Database, engine: Engine, caller: Caller) -> None:
    """The third claim's answer was lost, and so it ran out: that is no death."""
    [job_id] = await engine.running(caller)
    for _ in range(2):
        await polled(engine)
        await engine.let_run_out()
    living = Engine(database)
    async with database.statement() as session:
        await beat(session, process_id=living.owner, kind="worker")
    for _ in range(3):
        assert set(await polled(living)) == {job_id}
        assert (await engine.get(job_id))["takeovers"] == 2
        await engine.let_run_out()
        assert await swept(database) == []
    async with database.statement() as session:
        await session.execute("UPDATE processes SET beat_at = now() - interval '1 hour' WHERE id = $1", living.owner)
    assert await polled(living) == {}
    assert await swept(database) == [job_id]


async def test_siblings_are_unaffected(database: Database, engine: Engine, caller: Caller) -> None:
    """Whoever holds `poison` dies at once, with all it holds; the other forty end well."""
    poison, *siblings = await engine.running(caller, 41)
    deaths = 0
    async with database.statement() as session:
        await session.execute("UPDATE jobs SET due_at = due_at - interval '1 minute' WHERE id = $1", poison)
    done: set[UUID] = set()
    for _ in range(200):
        worker = Engine(database)
        while claims := await polled(worker):
            if poison in claims:
                deaths += 1
                break
            assert await answered(worker, claims) == len(claims)
            done |= set(claims)
            async with database.statement() as session:
                await session.execute("UPDATE jobs SET due_at = 'infinity' WHERE takeovers = 0 AND polls > 0")
        await engine.let_run_out()
        if await swept(database):
            break
    assert deaths == 3
    assert (await engine.get(poison))["error_code"] == "poison"
    async with database.statement() as session:
        await session.execute("UPDATE jobs SET due_at = now() WHERE due_at = 'infinity'")
    left = set(siblings) - done
    worker = Engine(database)
    while left:
        claims = await polled(worker)
        assert claims, "every sibling is asked about in the end"
        assert await answered(worker, claims) == len(claims)
        left -= set(claims)
    async with database.snapshot() as session:
        states = await session.fetch("SELECT state, takeovers, count(*) FROM jobs GROUP BY 1, 2 ORDER BY 1")
    assert [tuple(row) for row in states] == [("failed", 2, 1), ("running", 0, 40)]


async def test_one_suspect_at_a_time(database: Database, engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 3)
    for _ in range(2):
        assert len(await polled(engine)) == 3
        await engine.let_run_out()
    [fresh] = await engine.running(caller)
    first = await polled(engine)
    assert len(first) == 2, "one suspect, and what is beyond suspicion"
    assert fresh in first
    assert await polled(engine) == {}, "it still holds one"
    assert len(await polled(Engine(database))) == 1, "another worker takes another"
    await answered(engine, first)
    assert len(set(await polled(engine)) - set(first)) == 1
