"""What this worker has sent back to the queue stands in line again in time, with no sweep about."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg

from app.core.database.db import Database
from app.core.ids import new_id
from app.jobs.claiming.gate import Gate
from app.jobs.claiming.lease import Leases
from app.jobs.engine.dispatch import Dispatcher
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine, later
from tests.gateway import eventually


class Silent:
    """Stands in for the meter, the run times and the doorbell."""

    def __init__(self, database: Database) -> None:
        self.gate = Gate(database)
        self.ready = asyncio.Event()
        self.ready.set()

    async def learn(self, models: Any) -> None:
        list(models)

    def record_grant(self, *_: Any) -> None:
        pass

    def ring(self, *_: Any) -> None:
        pass


def dispatcher_of(database: Database) -> Dispatcher:
    """One that claims, and sends nothing."""
    silent: Any = Silent(database)
    nobody: Any = None
    dispatcher = Dispatcher(
        database=database, upstream=nobody, leases=Leases(database, owner=new_id(), lease_seconds=30),
        run_times=silent, doorbell=silent, meter=silent, account=nobody, forbidden=nobody, discretion=nobody, trouble=nobody,
        unknown_max_seconds=60,
    )  # fmt: skip
    dispatcher.sender.send = lambda *_: asyncio.sleep(0)  # type: ignore[assignment, method-assign, misc]
    return dispatcher


@contextlib.asynccontextmanager
async def pumping(dispatcher: Dispatcher) -> AsyncIterator[None]:
    pump = asyncio.create_task(dispatcher.pump.run())
    try:
        yield
    finally:
        pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pump


async def test_the_later_of_two_is_promoted_too(database: Database, engine: Engine, caller: Caller) -> None:
    dispatcher = dispatcher_of(database)
    [first] = await engine.submit(caller, not_before=later(milliseconds=200))
    [second] = await engine.submit(caller, not_before=later(milliseconds=700))
    dispatcher._again_in(0.25)
    dispatcher._again_in(0.75)

    async def promoted() -> bool:
        return all([(await engine.get(one))["ready"] for one in (first, second)])

    async with pumping(dispatcher):
        await eventually(promoted)
    assert await promoted()


@contextlib.asynccontextmanager
async def holding_again_and_again(url: str, caller: Caller) -> AsyncIterator[None]:
    """Three who lock the tenant's queue in turn, each for ten milliseconds, as those do who submit and record."""
    holds = 0

    async def hold() -> None:
        nonlocal holds
        connection = await asyncpg.connect(url)
        try:
            while True:
                async with connection.transaction():
                    await connection.execute("SELECT FROM queues WHERE subject_id = $1 FOR UPDATE", caller.tenant.id)
                    holds += 1
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()

    holders = [asyncio.create_task(hold()) for _ in range(3)]
    try:
        await eventually(lambda: asyncio.sleep(0, holds > 10))
        yield
        assert not any(holder.done() for holder in holders)
    finally:
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)


async def claimed_of(database: Database, caller: Caller) -> int:
    """How many of the tenant's jobs are claimed."""
    async with database.snapshot() as session:
        number: int = await session.fetchval("SELECT claimed FROM queues WHERE subject_id = $1", caller.tenant.id)
    return number


async def test_whose_queue_is_locked_all_the_time_has_its_turn(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    [job_id] = await engine.submit(caller)

    async def claimed() -> bool:
        return (await engine.get(job_id))["owner"] is not None

    async with holding_again_and_again(url, caller), pumping(dispatcher_of(database)):
        assert await eventually(claimed)


async def test_whose_queue_is_locked_for_moments_has_its_share(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    other = await make_caller(database)
    for one in (caller, other):
        await engine.submit(one, 600)
        async with database.statement() as session:
            await session.execute("UPDATE queues SET max_in_flight = NULL WHERE subject_id = $1", one.tenant.id)
    await engine.fill_budget()

    async def over() -> bool:
        return await claimed_of(database, other) >= 500

    async with holding_again_and_again(url, caller), pumping(dispatcher_of(database)):
        await eventually(over)
        # half of it on a quiet machine; on a busy one its queue is locked for longer, and passed over more often
        assert await claimed_of(database, caller) >= 50, "it was passed over again and again"
