"""What a process knows, held against a real database on each new connection, and kept in a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from app.books.models import Doubt
from app.books.operations import find_doubt, settle
from app.books.witness import Witness
from app.books.witness_store import KEY, WitnessStore
from app.core.database.db import Database
from app.core.errors import WrongConnection
from app.core.ids import new_id
from app.core.process.heartbeat import beat
from app.jobs.admin.pausing import pause_jobs, resume_jobs
from app.pace.models import What
from app.pace.pauses.operations import PausedUntilRecovered
from tests.conftest import NewDatabase
from tests.factories.callers import Caller
from tests.factories.jobs import Engine
from tests.jobs.conftest import caller, database, engine, url

__all__ = ["caller", "database", "engine", "url"]

Start = Callable[..., Awaitable[tuple[Witness, Database]]]


@pytest.fixture
async def start(url: str, redis_url: str) -> AsyncIterator[Start]:
    """A process that has opened its first connection."""
    async with AsyncExitStack() as stack, Redis.from_url(redis_url) as redis:
        await redis.delete(KEY)

        async def begin(*, to: str = url, sends: bool = True, said: list[WrongConnection] | None = None) -> Any:
            witness = Witness(WitnessStore(redis_url), process_id=new_id(), lease_seconds=2, sends=sends)
            stack.push_async_callback(witness.leave)
            await witness.recall()
            on_wrong = None if said is None else said.append
            opened = await Database.open(
                to, name="test", writers_max=1, readers_max=1, check=witness.check, on_wrong=on_wrong
            )
            stack.push_async_callback(opened.close)
            await opened.prove()
            return witness, opened

        yield begin


async def renewed(database: Database) -> None:
    """The next use is of a new connection."""
    await database._writers.expire_connections()
    await database.prove()


async def doubt_in(database: Database) -> Doubt | None:
    async with database.snapshot() as session:
        return await find_doubt(session)


async def test_an_attempt_that_is_missing(database: Database, engine: Engine, caller: Caller, start: Start) -> None:
    witness, process = await start()
    [job_id] = await engine.sending(caller)
    witness.opened(job_id, 1)
    await renewed(process)
    assert await doubt_in(database) is None, "what it wrote is there"
    witness.opened(new_id(), 1)
    await renewed(process)
    assert await doubt_in(database) is Doubt.OLDER
    await engine.submit(caller)
    assert await engine.claim() == [], "nothing is sent from then on"
    with pytest.raises(PausedUntilRecovered):
        async with database.transaction() as session:
            await resume_jobs(session, tenant_id=None, model=None)
    async with database.transaction() as session:
        await settle(session, recovered=True)
    await renewed(process)
    assert await doubt_in(database) is None, "what it knew from before the recovery counts no more"
    assert len(await engine.claim()) == 1


async def test_a_heartbeat_that_is_missing(database: Database, start: Start) -> None:
    witness, process = await start(sends=False)
    witness.beaten(3)
    await renewed(process)
    assert await doubt_in(database) is Doubt.OLDER


async def test_an_operators_pause_stays_when_the_doubt_is_over(database: Database, start: Start) -> None:
    witness, process = await start()
    async with database.transaction() as session:
        await pause_jobs(session, tenant_id=None, model=None, what=What.ALL, paused_by="me", note="mine")
    witness.beaten(3)
    await renewed(process)
    assert await doubt_in(database) is Doubt.OLDER
    async with database.transaction() as session:
        await settle(session, recovered=True)
        rows = await session.fetch("SELECT what, paused_by, note, reason FROM pauses")
    assert [tuple(row) for row in rows] == [("all", "me", "mine", None)]


async def test_redis_remembers_for_those_who_come_after(
    database: Database, engine: Engine, caller: Caller, start: Start
) -> None:
    first, _ = await start()
    first.opened(new_id(), 1)
    await first.leave()
    await start(sends=False)
    assert await doubt_in(database) is Doubt.OLDER, "an API process finds what a dead worker knew"


async def test_nobody_vouches_for_jobs_that_wait(
    database: Database, engine: Engine, caller: Caller, start: Start, redis_url: str
) -> None:
    first, process = await start()
    await engine.submit(caller)
    async with Redis.from_url(redis_url) as redis:
        await redis.delete(KEY)
    async with process.transaction() as session:
        await beat(session, process_id=new_id(), kind="api")
    await start()
    assert await doubt_in(database) is None, "a process that runs vouches"
    async with database.transaction() as session:
        await session.execute("UPDATE processes SET beat_at = now() - interval '1 minute'")
    await start(sends=False)
    assert await doubt_in(database) is None, "an API process sends nothing"
    await start()
    assert await doubt_in(database) is Doubt.UNVOUCHED
    assert first.doubted is False


async def test_a_copy_in_another_database(url: str, engine: Engine, caller: Caller, start: Start) -> None:
    """As after a dump that was restored beside the original."""
    _, process = await start()
    await engine.submit(caller)
    name = f"copy_{uuid4().hex}"
    await engine.database.close()
    await process.close()
    owner = await asyncpg.connect(url.rpartition("/")[0] + "/postgres")
    try:
        await owner.execute(f'CREATE DATABASE "{name}" TEMPLATE "{url.rpartition("/")[2]}"')
        _, there = await start(to=url.rpartition("/")[0] + f"/{name}")
        assert await doubt_in(there) is Doubt.MOVED
        await there.close()
        await owner.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await owner.close()


async def test_another_installations_database_stops_the_process(database: Database, start: Start) -> None:
    said: list[WrongConnection] = []
    _, process = await start(said=said)
    async with database.transaction() as session:
        await session.execute("UPDATE books SET books_id = gen_random_uuid()")
    with pytest.raises(WrongConnection, match="not the one that this process"):
        await renewed(process)
    assert len(said) == 1


async def test_many_first_connections_at_once(new_database: NewDatabase, redis_url: str) -> None:
    """One of them gives the books their id while others have found none."""
    said: list[WrongConnection] = []
    witnesses = [Witness(WitnessStore(redis_url), process_id=new_id(), lease_seconds=2, sends=True) for _ in range(2)]
    to = await new_database()
    opened = [
        await Database.open(to, name="test", writers_max=8, readers_max=1, check=one.check, on_wrong=said.append)
        for one in witnesses
    ]

    async def use(database: Database) -> None:
        async with database.transaction() as session:
            await session.execute("SELECT pg_sleep(0.1)")

    await asyncio.gather(*(use(database) for database in opened for _ in range(8)))
    assert said == []
    assert await doubt_in(opened[0]) is None
    await asyncio.gather(*(one.close() for one in opened), *(one.leave() for one in witnesses))


async def test_a_new_database_a_second_process_and_an_emptied_redis(
    new_database: NewDatabase, start: Start, redis_url: str
) -> None:
    to = await new_database()
    _, one = await start(to=to)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    _, two = await start(to=to)
    assert await doubt_in(one) is None
    async with two.snapshot() as session:
        rows = await session.fetch("SELECT books_id IS NOT NULL AS known, server, recoveries FROM books")
    assert [(row["known"], row["server"].count("/"), row["recoveries"]) for row in rows] == [(True, 2, 0)]
