"""The submit writer: what was said to be refused is not stored, and no tenant waits for another."""

import asyncio
import dataclasses

import asyncpg
import pytest

from app.core import clock
from app.core.database.db import Database
from app.core.errors import StoreFull, StoreUnavailable
from app.core.ids import new_id
from app.core.process import batch
from app.jobs.operations import Submission
from app.jobs.submit import writer
from app.jobs.submit.writer import LANES, LARGE_BYTES, InDoubt, Stored, SubmitWriter
from app.ledger.decide import InsufficientCredits
from app.main import WRITERS_MAX
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import SUBMISSION, wrong

_NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON jobs EXECUTE FUNCTION no_room();
"""


def submission(caller: Caller) -> Submission:
    return dataclasses.replace(SUBMISSION, id=new_id(), tenant_id=caller.tenant.id, key_id=caller.key.id)


async def test_a_full_disk_refuses_and_leaves_no_doubt(
    url: str, database: Database, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "UNREACHED_SECONDS", 0.2)
    submits = SubmitWriter(database, alerted=lambda: None)
    owner = await asyncpg.connect(url)
    try:
        await owner.execute(_NO_ROOM)
        with pytest.raises(StoreFull) as refused:
            await submits.submit(submission(caller))
        assert not isinstance(refused.value, InDoubt)
        assert (refused.value.status, refused.value.code) == (503, StoreUnavailable.code)
        await owner.execute("DROP TRIGGER no_room ON jobs")
        stored = await submits.submit(submission(caller))
        assert [row["id"] for row in await owner.fetch("SELECT id FROM jobs")] == [stored.job_id]
    finally:
        await owner.close()


@pytest.mark.parametrize("table", ["queues", "balances"])
async def test_whose_queue_or_balance_is_locked_delays_nobody_else(
    url: str, database: Database, caller: Caller, table: str
) -> None:
    other = await make_caller(database)
    submits = SubmitWriter(database, alerted=lambda: None)
    owner = await asyncpg.connect(url)
    try:
        async with owner.transaction():
            await owner.execute(f"SELECT FROM {table} WHERE tenant_id = $1 FOR UPDATE", caller.tenant.id)
            waiting = asyncio.create_task(submits.submit(submission(caller)))
            stored = await asyncio.gather(*(submits.submit(submission(other)) for _ in range(3)))
            assert not waiting.done()
            # a job of its own comes after it, and still delays nobody
            behind = asyncio.create_task(submits.submit(submission(caller)))
            stored.append(await submits.submit(submission(other)))
            assert not waiting.done()
            assert not behind.done()
        stored += [await waiting, await behind]
        ids = {row["id"] for row in await owner.fetch("SELECT id FROM jobs")}
        assert ids == {one.job_id for one in stored}
        assert len(ids) == 6
    finally:
        await owner.close()
    await submits.drained()
    assert await wrong(database) == {}


async def test_who_cannot_pay_or_asks_twice_is_judged_alone(database: Database, caller: Caller) -> None:
    poor, twice = await make_caller(database, credits_micro=1), await make_caller(database)
    submits = SubmitWriter(database, alerted=lambda: None)
    first = dataclasses.replace(submission(twice), idempotency_key="same", fingerprint=b"1")
    kept = await submits.submit(first)
    again = dataclasses.replace(first, id=new_id())
    asked = [submission(caller), dataclasses.replace(submission(poor), held_micro=2), again, submission(twice)]
    mine, refused, replayed, new = await asyncio.gather(*map(submits.submit, asked), return_exceptions=True)
    assert isinstance(refused, InsufficientCredits)
    assert mine == Stored(asked[0].id, asked[0].created_at, replayed=False)
    assert replayed == dataclasses.replace(kept, replayed=True)
    assert new == Stored(asked[3].id, asked[3].created_at, replayed=False)
    assert await wrong(database) == {}


@pytest.mark.parametrize("together", [True, False])
async def test_many_locked_tenants_do_not_use_up_the_connections(url: str, together: bool) -> None:
    database = await Database.open(url, name="test", writers_max=WRITERS_MAX, readers_max=1)
    locked = [await make_caller(database) for _ in range(WRITERS_MAX + LANES)]
    free = await make_caller(database)
    submits = SubmitWriter(database, alerted=lambda: None)
    owner = await asyncpg.connect(url)
    waiting: list[asyncio.Task[Stored]] = []
    try:
        async with owner.transaction():
            ids = [one.tenant.id for one in locked]
            await owner.execute("SELECT FROM queues WHERE tenant_id = ANY ($1::uuid[]) FOR UPDATE", ids)
            for one in locked:
                large = {"body": b" " * (2 * LARGE_BYTES)} if len(waiting) % 3 == 2 else {}
                asked = dataclasses.replace(submission(one), **large)
                waiting.append(asyncio.create_task(submits.submit(asked)))
                if not together:
                    await asyncio.sleep(0.01)
            started_at = clock.monotonic()
            stored = [await submits.submit(submission(free)) for _ in range(20)]
            assert clock.monotonic() - started_at < 5, "each of them waits for no lock"
            assert not any(one.done() for one in waiting)
        stored += await asyncio.gather(*waiting)
        assert {row["id"] for row in await owner.fetch("SELECT id FROM jobs")} == {one.job_id for one in stored}
        await submits.drained()
        assert await wrong(database) == {}
    finally:
        await owner.close()
        await database.close()


async def test_whose_queue_stays_locked_is_refused_in_the_end(
    url: str, database: Database, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "APART_SECONDS", 0.5)
    submits = SubmitWriter(database, alerted=lambda: None)
    owner = await asyncpg.connect(url)
    try:
        async with owner.transaction():
            await owner.execute("SELECT FROM queues WHERE tenant_id = $1 FOR UPDATE", caller.tenant.id)
            with pytest.raises(StoreUnavailable) as refused:
                await submits.submit(submission(caller))
            assert not isinstance(refused.value, InDoubt)
        stored = await submits.submit(submission(caller))
        assert [row["id"] for row in await owner.fetch("SELECT id FROM jobs")] == [stored.job_id]
    finally:
        await owner.close()
