"""The feed has no gaps, whoever commits when; and what an endpoint has missed can be recovered."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.core.ids import new_id
from app.webhooks.emit import JobEvent, emit_job_events
from app.webhooks.models import EventType
from app.webhooks.operations import recover_endpoint, update_endpoint
from app.webhooks.queries import list_events
from tests.doubles.receiver import receiving, says
from tests.factories.callers import Caller, make_caller
from tests.factories.hooks import Hooks

SEED = 20261122


async def test_a_reader_misses_nothing_while_transactions_overlap(hooks: Hooks, caller: Caller) -> None:
    """Eight writers commit late or not at all, in any order; a reader goes on from the last position it has seen."""
    chance = random.Random(SEED)
    committed: list[UUID] = []
    seen: list[UUID] = []
    over = asyncio.Event()
    other = await make_caller(hooks.database)

    class Undone(Exception):
        pass

    async def write() -> None:
        for _ in range(25):
            job_ids = [new_id() for _ in range(chance.randint(1, 4))]
            events = [
                JobEvent((caller if chance.random() < 0.7 else other).tenant.id, job_id, EventType.JOB_COMPLETED, 4)
                for job_id in job_ids
            ]
            try:
                async with hooks.database.transaction() as session:
                    await emit_job_events(session, events=events)
                    await asyncio.sleep(chance.random() * 0.01)
                    if chance.random() < 0.2:
                        raise Undone
            except Undone:
                continue
            committed.extend(one.job_id for one in events if one.tenant_id == caller.tenant.id)

    async def read() -> None:
        position = 0
        while True:
            last = over.is_set()
            async with hooks.database.snapshot() as session:
                rows = await list_events(session, tenant_id=caller.tenant.id, after=position, limit=3)
            seen.extend(row.job_id for row in rows)
            if rows:
                assert [row.position for row in rows] == list(range(position + 1, position + 1 + len(rows)))
                position = rows[-1].position
            elif last:
                return
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(4)))
    over.set()
    await reader
    assert len(seen) == len(set(seen))
    assert set(seen) == set(committed)
    assert len(committed) > 100


async def test_an_event_is_written_once(hooks: Hooks, caller: Caller) -> None:
    event = JobEvent(caller.tenant.id, new_id(), EventType.JOB_COMPLETED, 4)
    for _ in range(2):
        async with hooks.database.transaction() as session:
            await emit_job_events(session, events=[event])
    assert len(await hooks.rows("SELECT FROM webhook_events")) == 1
    assert [row["last"] for row in await hooks.rows("SELECT last FROM event_feeds")] == [1]


async def test_what_nobody_asked_for_is_no_event(hooks: Hooks, caller: Caller) -> None:
    await hooks.emit(caller, type_=EventType.JOB_PROCESSING)
    assert await hooks.rows("SELECT FROM webhook_events") == []


async def test_recover_delivers_exactly_what_was_missed(hooks: Hooks, caller: Caller) -> None:
    async with receiving() as receiver:
        endpoint_id, _ = await hooks.endpoint(caller, receiver.url, [EventType.JOB_COMPLETED])
        await hooks.emit(caller, 3)
        await hooks.once()
        since = datetime.now(UTC)
        await asyncio.sleep(0.02)
        receiver.reply = says("410 Gone")
        exhausted = await hooks.emit(caller, 2)
        await hooks.once()
        while_off = await hooks.emit(caller, 2)
        await hooks.emit(caller, 2, type_=EventType.JOB_FAILED)
        async with hooks.database.transaction() as session:
            await update_endpoint(session, tenant_id=caller.tenant.id, endpoint_id=endpoint_id, enabled=True)
        receiver.reply = says("200 OK")
        before = len(receiver.received)
        async with hooks.database.transaction() as session:
            missed = await recover_endpoint(session, tenant_id=caller.tenant.id, endpoint_id=endpoint_id, since=since)
        assert missed == 4
        await hooks.once()
        rows = await hooks.rows("SELECT id, job_id FROM webhook_events")
        jobs = {f"evt_{row['id'].hex}": row["job_id"] for row in rows}
        assert {jobs[one.id] for one in receiver.received[before:]} == {*exhausted, *while_off}
        async with hooks.database.transaction() as session:
            again = await recover_endpoint(
                session, tenant_id=caller.tenant.id, endpoint_id=endpoint_id, since=since - timedelta(days=1)
            )
        assert again == 0


async def test_an_endpoint_that_has_failed_for_five_days_is_disabled(hooks: Hooks, caller: Caller) -> None:
    async with receiving(says("500 Internal Server Error")) as receiver:
        endpoint_id, _ = await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        await hooks.once()
        assert (await hooks.target(endpoint_id))["disabled_at"] is None
        await hooks.set(
            "UPDATE webhook_targets SET failed_since = now() - interval '5 days', failing_since = now() - interval '5 days'"
        )
        waiting = await hooks.emit(caller, 2)
        await hooks.once()
        assert (await hooks.target(endpoint_id))["disabled_reason"] == "failing"
        assert len(waiting) == 2
        async with hooks.running():
            for _ in range(100):
                if await hooks.counts() == {"exhausted": 3}:
                    break
                await hooks.set("UPDATE webhook_deliveries SET due_at = now() WHERE status = 'pending'")
                await asyncio.sleep(0.05)
        assert await hooks.counts() == {"exhausted": 3}


async def test_one_success_among_failures_keeps_an_endpoint(hooks: Hooks, caller: Caller) -> None:
    async with receiving(says("500 Internal Server Error")) as receiver:
        endpoint_id, _ = await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller)
        await hooks.once()
        await hooks.set("UPDATE webhook_targets SET failing_since = now() - interval '4 days 23 hours'")
        receiver.reply = says("200 OK")
        await hooks.emit(caller)
        await hooks.once()
        target = await hooks.target(endpoint_id)
        assert (target["failures"], target["failing_since"], target["disabled_at"]) == (0, None, None)
