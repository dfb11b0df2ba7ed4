"""As many jobs wait as may, exactly, however many ask at once through however many processes."""

import asyncio
import dataclasses
from collections import Counter

from app.core import clock
from app.core.database.db import Database
from app.core.errors import Refusal
from app.core.ids import new_id
from app.jobs.operations import request_cancel
from app.jobs.queues import QueueFull
from app.jobs.submit.writer import Stored, SubmitWriter
from tests.factories.callers import Caller
from tests.factories.jobs import SUBMISSION, Engine, wrong


async def limit(database: Database, caller: Caller, max_queued: int) -> None:
    async with database.statement() as session:
        await session.execute("UPDATE tenants SET max_queued = $2 WHERE id = $1", caller.tenant.id, max_queued)


async def ask(writer: SubmitWriter, caller: Caller, **fields: object) -> Stored | Refusal:
    asked = dataclasses.replace(
        SUBMISSION, id=new_id(), tenant_id=caller.tenant.id, key_id=caller.key.id, created_at=clock.now(), **fields
    )
    try:
        return await writer.submit(asked)
    except Refusal as refusal:
        return refusal


def writer_of(database: Database) -> SubmitWriter:
    return SubmitWriter(database, alerted=lambda: None)


async def test_three_hundred_at_once_for_a_hundred_places(database: Database, caller: Caller) -> None:
    await limit(database, caller, 100)
    writers = [writer_of(database) for _ in range(3)]
    answers = await asyncio.gather(*(ask(writers[number % 3], caller) for number in range(300)))
    assert Counter(type(answer) for answer in answers) == {Stored: 100, QueueFull: 200}
    refusal = next(answer for answer in answers if isinstance(answer, QueueFull))
    assert (refusal.status, refusal.code, refusal.extra["max_queued"]) == (429, "queue_full", 100)
    assert not await wrong(database)


async def test_who_goes_makes_room_and_who_is_sent_too(database: Database, engine: Engine, caller: Caller) -> None:
    await limit(database, caller, 2)
    writer = writer_of(database)
    first, second, third = [await ask(writer, caller) for _ in range(3)]
    assert [type(answer) for answer in (first, second, third)] == [Stored, Stored, QueueFull]
    assert isinstance(first, Stored)
    async with database.transaction() as session:
        await request_cancel(session, tenant_id=caller.tenant.id, job_id=first.job_id)
    assert isinstance(await ask(writer, caller), Stored)
    rows = await engine.claim()
    assert isinstance(await ask(writer, caller), QueueFull), "what is claimed has not been sent"
    await engine.open(rows)
    answers = [await ask(writer, caller) for _ in range(3)]
    assert [type(answer) for answer in answers] == [Stored, Stored, QueueFull]
    assert not await wrong(database)


async def test_a_key_has_its_own_places(database: Database, caller: Caller) -> None:
    async with database.statement() as session:
        await session.execute("UPDATE api_keys SET max_queued = 3 WHERE id = $1", caller.key.id)
    async with database.statement() as session:
        await session.execute(
            "INSERT INTO queues (subject_id, tenant_id, max_queued) VALUES ($1, $2, 3)", caller.key.id, caller.tenant.id
        )
    writer = writer_of(database)
    answers = await asyncio.gather(*(ask(writer, caller) for _ in range(10)))
    full = [answer for answer in answers if isinstance(answer, QueueFull)]
    assert len(full) == 7
    assert full[0].extra["of"] == "key"
    assert not await wrong(database)


async def test_a_replay_takes_no_place(database: Database, caller: Caller) -> None:
    await limit(database, caller, 1)
    writer = writer_of(database)
    asked = {"idempotency_key": "one", "fingerprint": b"f" * 32}
    first, again = await ask(writer, caller, **asked), await ask(writer, caller, **asked)
    assert isinstance(first, Stored)
    assert isinstance(again, Stored)
    assert (again.replayed, again.job_id) == (True, first.job_id)
    assert isinstance(await ask(writer, caller), QueueFull)
