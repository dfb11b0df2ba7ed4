"""A pause stops what it names and nothing else, loses nothing, and costs the claims nothing."""

from typing import Any
from uuid import UUID

import pytest

from app.core.database.db import Database
from app.core.errors import Malformed
from app.core.ids import new_id
from app.jobs.admin.pausing import park_paused_jobs, pause_jobs, resume_jobs
from app.jobs.claiming.claims import claim_running
from app.jobs.engine.sweeps import expire_waiting, get_sweep_status
from app.pace.models import What
from app.pace.pauses.queries import list_pauses
from app.tenants.queries import TenantNotFound
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import MODEL, Engine, later, wrong


async def pause(
    database: Database, *, tenant: Caller | None = None, model: str | None = None, what: What = What.SUBMITS
) -> int:
    async with database.transaction() as session:
        _, count = await pause_jobs(
            session, tenant_id=tenant and tenant.tenant.id, model=model, what=what, paused_by="me", note="a test"
        )
    return count


async def resume(database: Database, *, tenant: Caller | None = None, model: str | None = None) -> int:
    async with database.transaction() as session:
        lifted, count = await resume_jobs(session, tenant_id=tenant and tenant.tenant.id, model=model)
    assert lifted is not None
    return count


async def polls(engine: Engine) -> set[UUID]:
    async with engine.database.transaction() as session:
        rows = (await claim_running(session, owner=engine.owner, reads_max=100, lease_seconds=30)).rows
    return {row.id for row in rows}


async def test_each_scope_stops_its_own(database: Database, engine: Engine, caller: Caller) -> None:
    other = await make_caller(database)
    mine = (await engine.submit(caller))[0], (await engine.submit(caller, model="other"))[0]
    theirs = (await engine.submit(other))[0], (await engine.submit(other, model="other"))[0]
    scopes: list[tuple[dict[str, Any], set[UUID]]] = [
        ({}, set()),
        ({"tenant": caller}, {*theirs}),
        ({"model": "other"}, {mine[0], theirs[0]}),
        ({"tenant": caller, "model": MODEL}, {mine[1], *theirs}),
    ]
    for scope, goes in scopes:
        await pause(database, **scope)
        claimed = await engine.claim()
        assert {row.id for row in claimed} == goes
        assert not await wrong(database)
        await engine.hand_back()
        await resume(database, **scope)
    assert {row.id for row in await engine.claim()} == {*mine, *theirs}


async def test_pauses_add_up_and_the_last_one_lifted_frees(database: Database, engine: Engine, caller: Caller) -> None:
    job_ids = await engine.submit(caller, 3)
    assert await pause(database, tenant=caller) == 3
    assert await pause(database, model=MODEL) == 0, "they are aside already"
    await pause(database)
    for scope, freed in (({"tenant": caller}, 0), ({}, 0), ({"model": MODEL}, 3)):
        assert await engine.claim() == []
        assert not await wrong(database)
        assert await resume(database, **scope) == freed  # type: ignore[arg-type]
    assert [row.id for row in await engine.claim()] == job_ids


async def test_what_was_due_comes_back_in_order_and_the_rest_stays(
    database: Database, engine: Engine, caller: Caller
) -> None:
    first, second = await engine.submit(caller, 2)
    [urgent] = await engine.submit(caller, priority=9)
    [future] = await engine.submit(caller, not_before=later(hours=1))
    before = (await engine.get(future))["due_at"]
    assert await pause(database, tenant=caller) == 3
    assert (await engine.get(future))["due_at"] == before
    assert await resume(database, tenant=caller) == 3
    claimed = []
    while rows := await engine.claim(1):
        claimed.append(rows[0].id)
    assert claimed == [urgent, first, second]


async def test_a_claim_made_before_the_pause_sends_nothing_after_it(
    database: Database, engine: Engine, caller: Caller
) -> None:
    for scope in ({}, {"tenant": caller}):
        [job_id] = await engine.submit(caller)
        claimed = await engine.claim()
        await pause(database, **scope)  # type: ignore[arg-type]
        assert await engine.open(claimed) == {}
        job = await engine.get(job_id)
        assert (job["state"], job["attempt"], job["lease_until"]) == ("queued", 0, None)
        await resume(database, **scope)  # type: ignore[arg-type]
        assert await engine.open(await engine.claim()) == {job_id: 1}


async def test_polls_go_on_unless_all_is_paused(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.running(caller)

    async def asked() -> bool:
        there = await polls(engine)
        await engine.hand_back()
        return there == {job_id}

    for scope in ({}, {"tenant": caller}, {"model": MODEL}):
        await pause(database, **scope)  # type: ignore[arg-type]
        assert await asked()
        await pause(database, **scope, what=What.ALL)  # type: ignore[arg-type]
        assert not await asked()
        assert not await wrong(database)
        await pause(database, **scope)  # type: ignore[arg-type]
        assert await asked(), "the last word about a scope holds"
        await pause(database, **scope, what=What.ALL)  # type: ignore[arg-type]
        await resume(database, **scope)  # type: ignore[arg-type]
        assert await asked()


async def test_what_is_on_the_wire_is_recorded_and_then_waits(
    database: Database, engine: Engine, caller: Caller
) -> None:
    accepted, throttled = await engine.sending(caller, 2)
    await pause(database, tenant=caller)
    assert await engine.record(accepted, 1, OutcomeKind.ACCEPTED)
    assert await engine.record(throttled, 1, OutcomeKind.THROTTLED, to_state="queued", reason="throttled")
    assert (await engine.get(accepted))["state"] == "running"
    assert await engine.claim() == []
    async with database.statement() as session:
        assert (await get_sweep_status(session)).paused
        assert await park_paused_jobs(session) == 1
        assert not (await get_sweep_status(session)).queued_due, "the sweep has no reason to ring"
    assert (await engine.get(throttled))["aside"]
    assert not await wrong(database)


async def test_deadlines_pass_while_paused(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.submit(caller, deadline_at=later(hours=1))
    await pause(database, tenant=caller)
    await engine.set(job_id, "deadline_at = now()")
    async with database.statement() as session:
        assert [row.id for row in await expire_waiting(session, lease_seconds=30)] == [job_id]
    assert (await engine.get(job_id))["error_code"] == "deadline_exceeded"


async def test_views_tell_what_is_paused(database: Database, caller: Caller) -> None:
    now = "SELECT paused_reason, paused_detail FROM ops.upstream_now"
    async with database.snapshot() as session:
        assert tuple(await session.fetchrow(now) or ()) == (None, None)
    await pause(database, tenant=caller, model=MODEL)
    await pause(database, what=What.ALL)
    async with database.snapshot() as session:
        assert tuple(await session.fetchrow(now) or ()) == ("operator", "a test")
        rows = await session.fetch("SELECT tenant, tenant_id, model, what, paused_by FROM ops.pauses ORDER BY what")
        assert [tuple(row) for row in rows] == [
            (None, None, None, "all", "me"),
            (caller.tenant.name, caller.tenant.id, MODEL, "submits", "me"),
        ]
    await resume(database)
    async with database.snapshot() as session:
        assert tuple(await session.fetchrow(now) or ()) == (None, None)
        assert [one.model for one in await list_pauses(session)] == [MODEL]


async def test_slips(database: Database) -> None:
    async with database.transaction() as session:
        assert await resume_jobs(session, tenant_id=None, model="never-paused") == (None, 0)
    for fields, refusal in (
        ({"model": "a/b"}, Malformed),
        ({"model": ""}, Malformed),
        ({"note": "\x00"}, Malformed),
        ({"note": "x" * 501}, Malformed),
        ({"tenant_id": new_id()}, TenantNotFound),
    ):
        asked: dict[str, Any] = {"tenant_id": None, "model": None, "what": What.ALL, "paused_by": "me", "note": ""}
        with pytest.raises(refusal):
            async with database.transaction() as session:
                await pause_jobs(session, **(asked | fields))
    async with database.snapshot() as session:
        assert await list_pauses(session) == []
