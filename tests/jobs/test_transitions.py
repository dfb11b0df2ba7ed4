"""From every row to every other: the revision, the event and the counts follow."""

import asyncio
from itertools import product
from typing import NamedTuple
from uuid import UUID

import asyncpg
import pytest

from app.core.clock import now
from app.core.database.db import Database
from app.core.database.sql import SqlFolder
from app.jobs import queries
from app.jobs.admin.recover import free_running
from app.jobs.claiming.claims import open_attempts
from app.jobs.engine.sweeps import expire_sending
from app.jobs.models import State
from app.jobs.operations import request_cancel
from app.jobs.places import open_places
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine, wrong
from tests.gateway import eventually


class Place(NamedTuple):
    """Where a job is, and what its queues count it as: queued, ready, claimed, in flight."""

    state: str
    counts: tuple[int, int, int, int]
    ready: bool = False
    owned: bool = False


OUT_OF_LINE = Place("queued", (1, 0, 0, 0))
IN_LINE = Place("queued", (1, 1, 0, 0), ready=True)
CLAIMED = Place("queued", (1, 1, 1, 0), ready=True, owned=True)
BEFORE = (
    OUT_OF_LINE, IN_LINE, CLAIMED, Place("sending", (0, 0, 0, 1), owned=True), Place("sending", (0, 0, 0, 1)),
    Place("unknown", (0, 0, 0, 1)), Place("running", (0, 0, 0, 1)), Place("running", (0, 0, 0, 1), owned=True),
)  # fmt: skip
AFTER = (*BEFORE, *(Place(state, (0, 0, 0, 0)) for state in ("completed", "failed", "canceled")))
NONE = (0, 0, 0, 0)


class Was(NamedTuple):
    """What a job was before it moved."""

    was_state: str
    was_ready: bool
    was_owner: UUID | None


_JOBS = SqlFolder(queries.__file__)
_PARTS = {
    name: _JOBS.part(name)
    for name in ("was", "moved_columns", "events_of", "changes_of", "counted", "counted_of_claim")
}
_SQL = SqlFolder(__file__)
_MOVE_JOBS = _SQL.query("move_jobs", Was, parts=_PARTS)
_SEND_SOME = _SQL.query("send_some", int, parts=_PARTS)
_CLAIM_AT = _SQL.command("claim_at", parts=_PARTS)


async def move(database: Database, job_id: UUID, place: Place, *, told_where_ready: bool | None = None) -> Was:
    """Put a job there, in the form in which all statements change jobs."""
    async with database.statement() as session:
        return await session.get_row(
            _MOVE_JOBS, job_ids=[job_id], state=place.state, ready=place.ready, owned=place.owned,
            told_where_ready=told_where_ready,
        )  # fmt: skip


async def counts(database: Database, subject_id: UUID) -> tuple[int, ...] | None:
    async with database.snapshot() as session:
        row = await session.fetchrow(
            "SELECT queued, ready, claimed, in_flight FROM queues WHERE subject_id = $1", subject_id
        )
    return None if row is None else tuple(row)


@pytest.fixture
async def limited(database: Database, caller: Caller) -> Caller:
    """A tenant whose key's jobs are counted, too."""
    async with database.transaction() as session:
        await open_places(session, tenant_id=caller.tenant.id, key_id=caller.key.id)
    return caller


async def test_from_every_place_to_every_other(database: Database, engine: Engine, limited: Caller) -> None:
    other = await make_caller(database)
    for before, after in product(BEFORE, AFTER):
        [job_id] = await engine.submit(limited)
        await move(database, job_id, before)
        told = await engine.events(job_id)
        moved = await move(database, job_id, after)
        changed = [(before.state, after.state, "because")] if before.state != after.state else []
        assert await engine.events(job_id) == told + changed, (before, after)
        job = await engine.get(job_id)
        assert job["revision"] == len(told) + len(changed), (before, after)
        assert (job["state"], job["ready"], job["owner"] is not None) == (after.state, after.ready, after.owned)
        assert (moved.was_state, moved.was_ready, moved.was_owner is not None) == (
            before.state, before.ready, before.owned,
        )  # fmt: skip
        for subject_id in (limited.tenant.id, limited.key.id):
            assert await counts(database, subject_id) == after.counts, (before, after)
        async with database.statement() as session:
            await session.execute("UPDATE queues SET queued = 0, ready = 0, claimed = 0, in_flight = 0")
    assert await counts(database, other.tenant.id) == NONE
    assert await counts(database, other.key.id) is None


async def test_a_new_job_is_counted_and_told(database: Database, engine: Engine, limited: Caller) -> None:
    [job_id] = await engine.submit(limited)
    assert await engine.events(job_id) == [(None, "queued", "submitted")]
    for subject_id in (limited.tenant.id, limited.key.id):
        assert await counts(database, subject_id) == IN_LINE.counts
    assert not await wrong(database)


async def test_an_event_without_another_state_where_it_is_asked_for(
    database: Database, engine: Engine, caller: Caller
) -> None:
    [job_id] = await engine.submit(caller)
    await move(database, job_id, IN_LINE, told_where_ready=True)
    await move(database, job_id, IN_LINE, told_where_ready=False)
    assert await engine.events(job_id) == [(None, "queued", "submitted"), ("queued", "queued", "because")]
    assert (await engine.get(job_id))["revision"] == 2


async def test_two_moves_of_one_statement_and_of_several_tenants_are_counted(
    database: Database, engine: Engine, limited: Caller
) -> None:
    other = await make_caller(database)
    mine, theirs = await engine.submit(limited, 3), await engine.submit(other, 2)
    sent = [mine[0], mine[1], theirs[0]]
    async with database.statement() as session:
        assert await session.get_value(_SEND_SOME, job_ids=[*mine, *theirs], sent_ids=sent) == 3
    assert await counts(database, limited.tenant.id) == await counts(database, limited.key.id) == (1, 1, 1, 2)
    assert await counts(database, other.tenant.id) == (1, 1, 1, 1)


async def test_virtual_times_only_rise(database: Database, engine: Engine, limited: Caller) -> None:
    job_ids = await engine.submit(limited)
    for asked, expected in ((5.0, 5.0), (3.0, 5.0), (7.0, 7.0)):
        async with database.statement() as session:
            await session.run(_CLAIM_AT, job_ids=job_ids, tenant_id=limited.tenant.id, virtual_time=asked)
        async with database.snapshot() as session:
            times = await session.fetch("SELECT subject_id, virtual_time FROM queues")
        assert {row["subject_id"]: row["virtual_time"] for row in times} == {
            limited.tenant.id: expected, limited.key.id: 0.0,
        }  # fmt: skip


async def test_running_jobs_alone_are_taken_out_of_all_hands(
    database: Database, engine: Engine, caller: Caller
) -> None:
    [running] = await engine.running(caller)
    [queued] = await engine.submit(caller)
    await engine.claim()
    async with database.statement() as session:
        assert await free_running(session, before=now(), after=UUID(int=0)) == [running]
    assert (await engine.get(queued))["owner"] == engine.owner
    assert not await wrong(database)


async def wait_for_another(url: str) -> None:
    """Until a statement waits for a lock."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    connection = await asyncpg.connect(url)
    await eventually(lambda: connection.fetch(waiting))
    await connection.close()


async def test_an_answer_finds_its_job_unknown_meanwhile(
    url: str, database: Database, engine: Engine, limited: Caller
) -> None:
    """Its event and its counts are of the row that was locked in the end, not of the one seen at first."""
    [job_id] = await engine.sending(limited)
    await engine.let_run_out()
    async with database.transaction() as session:
        await expire_sending(session, unknown_max_seconds=60)
        recording = asyncio.create_task(engine.record(job_id, 1, OutcomeKind.ACCEPTED))
        await wait_for_another(url)
    await recording
    assert (await engine.events(job_id))[-2:] == [
        ("sending", "unknown", "lease_expired"), ("unknown", "running", "accepted"),
    ]  # fmt: skip
    assert not await wrong(database)


async def test_a_cancel_finds_its_job_sent_meanwhile(
    url: str, database: Database, engine: Engine, limited: Caller
) -> None:
    [job_id] = await engine.submit(limited)
    [row] = await engine.claim()

    async def cancel() -> State:
        async with database.transaction() as session:
            return await request_cancel(session, tenant_id=limited.tenant.id, job_id=job_id)

    async with database.transaction() as session:
        claims = [(job_id, row.fence)]
        assert await open_attempts(session, owner=engine.owner, claims=claims, lease_seconds=60)
        canceling = asyncio.create_task(cancel())
        await wait_for_another(url)
    assert await canceling is State.SENDING
    assert (await engine.events(job_id))[-2:] == [
        ("queued", "sending", "sending"), ("sending", "sending", "cancel_requested"),
    ]  # fmt: skip
    assert not await wrong(database)


async def test_who_asks_again_while_the_first_statement_runs_gets_its_attempt(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    """The connection breaks, and Postgres goes on: the attempt is open, and would pass for one that was sent."""
    [job_id] = await engine.submit(caller)
    [row] = await engine.claim()
    async with database.transaction() as session:
        claims = [(job_id, row.fence)]
        assert await open_attempts(session, owner=engine.owner, claims=claims, lease_seconds=60)
        again = asyncio.create_task(engine.open([row]))
        await wait_for_another(url)
    assert await again == {job_id: 1}
    assert await Engine(database).open([row]) == {}
    assert not await wrong(database)


async def test_what_was_not_read_does_not_move(database: Database) -> None:
    unread = _MOVE_JOBS.text.replace(f", {_PARTS['was'].text}", "")
    assert unread != _MOVE_JOBS.text
    async with database.statement() as session:
        with pytest.raises(asyncpg.UndefinedColumnError):
            await session.fetch(unread, [], "failed", None, False, False)
