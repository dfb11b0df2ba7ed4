"""What several processes tell each other of the upstream, in Postgres."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from app.core.database.db import Database
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.turns import claim_queued
from app.pace.breaker import BREAK_SECONDS, PROBE_MODEL, PROBE_TENANT, Sample
from app.pace.budget import _READ_PACE, Learned, learn
from tests.conftest import NewDatabase
from tests.factories.jobs import Engine


@pytest.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = await Database.open(await new_database(), name="tests", writers_max=2, readers_max=2)
    yield database
    await database.close()


async def now(database: Database) -> float:
    async with database.snapshot() as session:
        found: float = await session.fetchval("SELECT extract(epoch FROM clock_timestamp())::double precision")
    return found


async def hear(database: Database, *heard: Sample, alarm: bool = False) -> Learned:
    """One process tells this."""
    async with database.transaction() as session:
        return await learn(session, held=False, refused=[], passed=0, ended=[], heard=heard, alarm=alarm)


def sample(job: int, *, at: float, failed: bool = True, tenant: int = 1, model: str = "m") -> Sample:
    return Sample(UUID(int=job), UUID(int=tenant), model, at, failed)


async def test_a_job_counts_once_whoever_asks_about_it_and_by_its_last_answer(database: Database) -> None:
    at = await now(database)
    for later in range(8):  # one bad job, that goes from process to process
        await hear(database, *[sample(job, at=at + later / 100) for job in range(4)])
    assert (await hear(database, sample(5, at=at, failed=False))).after.broken_at is None
    assert (await hear(database, sample(3, at=at + 1, failed=False))).after.broken_at is None
    assert (await hear(database, sample(3, at=at))).after.broken_at is None, "told late"
    async with database.snapshot() as session:
        rows = await session.fetch("SELECT job_id, failed FROM upstream_health ORDER BY job_id")
    assert [row["failed"] for row in rows] == [True, True, True, False, False]


async def test_what_one_process_hears_another_does_not_say_is_everything(database: Database) -> None:
    """The network of one worker is cut, that of another is not."""
    at = await now(database)
    await hear(database, *[sample(job + 100, at=at, failed=False, tenant=job, model=f"m{job}") for job in range(1, 9)])
    cut = await hear(database, *[sample(job, at=at, tenant=job, model=f"m{job}") for job in range(1, 9)])
    assert (cut.after.broken_at, cut.ask) == (None, False)


async def test_it_opens_for_all_and_closes_while_some_jobs_stay_bad(engine: Engine, database: Database) -> None:
    at = await now(database)
    opened = await hear(database, *[sample(job, at=at, tenant=job, model=f"m{job}") for job in range(1, 9)])
    assert opened.before.broken_at is None
    assert opened.after.broken_at is not None
    assert opened.ask, "of an upstream that is away the balance is asked for"
    at = await now(database)
    still = await hear(
        database, *[sample(job, at=at) for job in range(20, 32)], sample(2, at=at, failed=False, tenant=2)
    )
    assert still.after.broken_at is not None
    answered = Sample(UUID(int=99), PROBE_TENANT, PROBE_MODEL, at, failed=False)
    mended = await hear(database, answered)
    assert mended.after.broken_at is None


async def test_of_one_model_alone_the_balance_tells(database: Database) -> None:
    at = await now(database)
    jobs = [sample(job, at=at) for job in range(12)]
    asked = await hear(database, *jobs)
    assert (asked.after.broken_at, asked.ask) == (None, True)
    answered = await hear(database, Sample(UUID(int=99), PROBE_TENANT, PROBE_MODEL, at, failed=False))
    assert (answered.after.broken_at, answered.ask) == (None, False)
    async with database.statement() as session:
        await session.execute("DELETE FROM upstream_health WHERE model = ''")
    silent = await hear(database, Sample(UUID(int=98), PROBE_TENANT, PROBE_MODEL, at, failed=True))
    assert silent.after.broken_at is not None


def test_an_alarm_lasts_as_long_as_answers_are_judged_by() -> None:
    assert f"alarmed_at > now() - interval '{BREAK_SECONDS:g} seconds' AS alarmed" in _READ_PACE.text


async def test_an_alarm_reaches_whoever_claims(engine: Engine, database: Database) -> None:
    async def alarmed() -> set[bool]:
        async with database.transaction() as session:
            polls = await claim_running(session, owner=engine.owner, reads_max=1, lease_seconds=30)
        async with database.transaction() as session:
            submits = await claim_queued(session, owner=engine.owner, jobs_max=1, lease_seconds=30)
        return {polls.alarmed, submits.alarmed}

    assert await alarmed() == {False}
    await hear(database, sample(1, at=await now(database)), alarm=True)
    assert await alarmed() == {True}
    async with database.statement() as session:
        await session.execute("UPDATE upstream_state SET alarmed_at = now() - interval '11 seconds'")
    assert await alarmed() == {False}
    async with database.statement() as session:
        await session.execute("UPDATE upstream_state SET broken_at = now()")
    assert await alarmed() == {True}


async def test_what_was_heard_long_ago_is_dropped(database: Database) -> None:
    at = await now(database)
    await hear(database, sample(1, at=at - 50), sample(2, at=at - 61))
    async with database.statement() as session:
        assert await session.fetchval("SELECT count(*) FROM upstream_health") == 1
        await session.execute("UPDATE upstream_health SET at = at - interval '20 seconds'")
    await hear(database, sample(3, at=at))
    async with database.snapshot() as session:
        assert await session.fetchval("SELECT count(*) FROM upstream_health") == 1


@pytest.fixture
async def engine(database: Database) -> Engine:
    return Engine(database)
