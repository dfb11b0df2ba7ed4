"""A model that the upstream forbids: what pauses it, and how one job at a time finds out when it is over."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from app.core.database.db import Database
from app.core.database.session import Row
from app.jobs.admin.pausing import park_paused_jobs, pause_jobs, resume_jobs
from app.jobs.claiming.turns import ClaimedJob
from app.jobs.engine.sweeps import expire_sending, get_sweep_status
from app.jobs.models import ErrorCode, State
from app.jobs.observing.forbidden import ForbiddenModels
from app.jobs.observing.probing import list_probes, send_probe
from app.jobs.operations import request_cancel
from app.pace.models import What
from app.upstream.wire import Outcome, OutcomeKind
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import MODEL, Engine, wrong

JSON = b'{"error": "not permitted to use this model"}'
HTML = b"<html>Attention Required!</html>"


class Wire(Engine):
    """A worker's hand that also hears what the upstream answers, in the order in which a worker does."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.forbidden = ForbiddenModels(database)

    async def send(self, caller: Caller, body: bytes = b"{}") -> tuple[ClaimedJob, int]:
        """One job on the wire."""
        [job_id] = await self.submit(caller, body=body)
        [sent] = await self.send_all()
        assert sent[0].id == job_id
        return sent

    async def send_all(self) -> list[tuple[ClaimedJob, int]]:
        """All that may go now."""
        rows = await self.claim()
        opened = await self.open(rows)
        return [(row, opened[row.id]) for row in rows]

    async def forbid(
        self, sent: tuple[ClaimedJob, int], body: bytes = JSON, error: str | None = "not permitted"
    ) -> None:
        """It is answered 403."""
        row, attempt = sent
        outcome = Outcome(OutcomeKind.REJECTED, 403, 0.1, "http_403", body=body, error=error)
        await self.forbidden.note(row, outcome)
        await self.record(
            row.id, attempt, OutcomeKind.REJECTED,
            to_state=State.FAILED, reason="rejected", error_code=ErrorCode.UPSTREAM_REJECTED, message="no",
        )  # fmt: skip

    async def accept(self, sent: tuple[ClaimedJob, int]) -> bool:
        """It is accepted; gives whether waiting jobs may go on by it."""
        rows = await self.record(sent[0].id, sent[1], OutcomeKind.ACCEPTED)
        return await self.forbidden.accepted({(row.model, row.tenant_id) for row in rows})

    async def refused(self, caller: Caller, body: bytes = b"{}", **answer: Any) -> None:
        await self.forbid(await self.send(caller, body), **answer)

    async def pauses(self) -> list[tuple[UUID | None, str]]:
        async with self.database.snapshot() as session:
            rows = await session.fetch("SELECT tenant_id, model FROM pauses ORDER BY id")
        return [tuple(row) for row in rows]

    async def pause(self) -> Row:
        async with self.database.snapshot() as session:
            row = await session.fetchrow(
                "SELECT *, extract(epoch FROM probe_at - now())::double precision AS seconds FROM pauses"
            )
        assert row is not None
        return row

    async def probe(self) -> UUID | None:
        """A sweep when the next probe is due; the job that it puts in line."""
        async with self.database.statement() as session:
            await session.execute("UPDATE pauses SET probe_at = now() WHERE probe_job_id IS NULL")
        async with self.database.statement() as session:
            await park_paused_jobs(session)
        await self.forbidden.probe()
        async with self.database.snapshot() as session:
            found: UUID | None = await session.fetchval("SELECT probe_job_id FROM pauses WHERE probe_at IS NOT NULL")
        return found


@pytest.fixture
def wire(database: Database) -> Wire:
    return Wire(database)


@pytest.fixture
async def other(database: Database) -> Caller:
    return await make_caller(database)


async def paused(wire: Wire, *callers: Caller) -> None:
    for caller in callers:
        await wire.refused(caller)
    assert await wire.pauses() == [(None, MODEL)]


async def test_two_tenants_pause_a_model(wire: Wire, caller: Caller, other: Caller) -> None:
    await wire.refused(caller)
    assert await wire.pauses() == [], "one 403 is the job's own"
    await wire.refused(other, error="not\x1b[2J permitted\r\nforged")
    pause = await wire.pause()
    assert (pause["tenant_id"], pause["model"], pause["what"], pause["paused_by"]) == (
        None,
        MODEL,
        "submits",
        "upstream",
    )
    assert pause["note"] == "not [2J permitted forged"
    assert 0 < pause["seconds"] <= 5
    third = await make_caller(wire.database)
    [waits] = await wire.submit(third)
    [goes] = await wire.submit(third, model="another")
    assert [row.id for row in await wire.claim()] == [goes]
    assert (await wire.get(waits))["state"] == "queued"
    assert not await wrong(wire.database)


async def test_pages_of_a_firewall_pause_nothing(wire: Wire, caller: Caller, other: Caller) -> None:
    for number, who in enumerate((caller, other, caller, other)):
        await wire.forbid(await wire.send(who, b'{"prompt":"%d"}' % number), HTML, None)
    assert await wire.pauses() == []


async def test_an_accepted_submit_in_between_refutes_it(wire: Wire, caller: Caller, other: Caller) -> None:
    third = await make_caller(wire.database)
    for who in (caller, other, third):
        await wire.refused(who)
        assert not await wire.accept(await wire.send(third))
    assert await wire.pauses() == []
    await wire.refused(caller)
    await wire.refused(other)
    assert await wire.pauses() == [(None, MODEL)], "nothing was accepted between these two"


async def test_403s_of_different_models_and_of_long_ago_do_not_add_up(
    wire: Wire, caller: Caller, other: Caller
) -> None:
    await wire.refused(caller)
    [job_id] = await wire.submit(other, model="another")
    [sent] = await wire.send_all()
    assert sent[0].id == job_id
    await wire.forbid(sent)
    async with wire.database.statement() as session:
        await session.execute("UPDATE forbidden_answers SET last_at = last_at - interval '11 minutes'")
    await wire.refused(other)
    assert await wire.pauses() == []
    async with wire.database.statement() as session:
        await session.execute("UPDATE forbidden_answers SET last_at = last_at - interval '2 hours'")
    await wire.refused(other)
    async with wire.database.snapshot() as session:
        assert await session.fetchval("SELECT count(*) FROM forbidden_answers") == 1, "what is old is forgotten"


async def test_one_tenant_pauses_its_own_use_alone(wire: Wire, caller: Caller, other: Caller) -> None:
    await wire.refused(caller, b'{"prompt":"a","seed":1}')
    await wire.refused(caller, b'{"seed":2, "prompt":"a"}')
    assert await wire.pauses() == [], "one request, sent twice"
    assert not await wire.accept(await wire.send(other))
    await wire.refused(caller, b'{"prompt":"b"}')
    assert await wire.pauses() == [(caller.tenant.id, MODEL)], "another tenant's success does not speak for this one"
    [waits] = await wire.submit(caller)
    await wire.accept(await wire.send(other))
    assert await wire.pauses() == [(caller.tenant.id, MODEL)]
    assert await wire.probe() == waits
    [sent] = await wire.send_all()
    assert await wire.accept(sent)
    assert await wire.pauses() == []


async def test_a_pause_for_all_takes_the_place_of_those_for_tenants(wire: Wire, caller: Caller, other: Caller) -> None:
    await wire.refused(caller, b'{"prompt":"a"}')
    await wire.refused(caller, b'{"prompt":"b"}')
    assert await wire.pauses() == [(caller.tenant.id, MODEL)]
    await wire.refused(other)
    assert await wire.pauses() == [(None, MODEL)]
    [waits] = await wire.submit(caller)
    assert await wire.probe() == waits, "no job is held by two pauses, each of which waits for the other"


async def test_one_probe_at_a_time_until_one_is_accepted(wire: Wire, caller: Caller, other: Caller) -> None:
    await paused(wire, caller, other)
    job_ids = [*await wire.submit(caller, 3), *await wire.submit(other, 3)]
    seconds = []
    for _ in range(3):
        probe = await wire.probe()
        assert await wire.probe() == probe, "one at a time"
        [sent] = await wire.send_all()
        assert sent[0].id == probe
        assert await wire.probe() == probe
        await wire.forbid(sent)
        assert (await wire.get(sent[0].id))["error_code"] == "upstream_rejected"
        seconds.append((await wire.pause())["seconds"])
        assert not await wrong(wire.database)
    assert [5 < gap <= 5.1 * 2**number for number, gap in enumerate(seconds, start=1)] == [True] * 3
    probe = await wire.probe()
    [sent] = await wire.send_all()
    assert await wire.accept(sent)
    assert await wire.pauses() == []
    states = {job_id: (await wire.get(job_id))["state"] for job_id in job_ids}
    assert sorted(states.values()) == ["failed"] * 3 + ["queued"] * 2 + ["running"]
    assert len(await wire.send_all()) == 2, "all that waited goes on"
    assert not await wrong(wire.database)


async def test_tenants_that_were_not_refused_are_asked_first(wire: Wire, caller: Caller, other: Caller) -> None:
    await paused(wire, caller, other)
    await wire.submit(caller, 50)
    [good] = await wire.submit(await make_caller(wire.database))
    assert await wire.probe() == good


async def test_a_probe_waits_for_nothing_else(wire: Wire, caller: Caller, other: Caller) -> None:
    """Jobs that an operator's pause holds as well, and those of tenants without a place, are no probes."""
    await paused(wire, caller, other)
    await wire.submit(caller)
    async with wire.database.transaction() as session:
        asked: dict[str, Any] = {"model": None, "what": What.SUBMITS, "paused_by": "on-call", "note": ""}
        await pause_jobs(session, tenant_id=caller.tenant.id, **asked)
    assert await wire.probe() is None
    [waits] = await wire.submit(other)
    async with wire.database.statement() as session:
        await session.execute("UPDATE tenants SET max_in_flight = 0 WHERE id = $1", other.tenant.id)
    assert await wire.probe() is None
    async with wire.database.statement() as session:
        await session.execute("UPDATE tenants SET max_in_flight = 5 WHERE id = $1", other.tenant.id)
    assert await wire.probe() == waits


async def test_two_workers_pause_once_and_probe_once(wire: Wire, caller: Caller, other: Caller) -> None:
    callers = [caller, other, *[await make_caller(wire.database) for _ in range(4)]]
    second = ForbiddenModels(wire.database)
    sent = [await wire.send(who) for who in callers]
    outcome = Outcome(OutcomeKind.REJECTED, 403, 0.1, "http_403", body=JSON, error="no")
    await asyncio.gather(
        *((wire.forbidden if number % 2 else second).note(row, outcome) for number, (row, _) in enumerate(sent))
    )
    assert await wire.pauses() == [(None, MODEL)]
    await wire.submit(await make_caller(wire.database), 5)
    async with wire.database.statement() as session:
        await park_paused_jobs(session)
        await session.execute("UPDATE pauses SET probe_at = now()")
    went = await asyncio.gather(*(one.probe() for one in (wire.forbidden, second) * 4))
    assert sum(went) == 1
    assert len(await wire.claim()) == 1


async def test_of_two_choices_made_at_once_one_holds(wire: Wire, caller: Caller, other: Caller) -> None:
    await paused(wire, caller, other)
    first, second = await wire.submit(caller, 2)
    async with wire.database.statement() as session:
        await park_paused_jobs(session)
        await session.execute("UPDATE pauses SET probe_at = now()")
    async with wire.database.statement() as session:
        [seen] = await list_probes(session)
    for job_id, holds in ((first, True), (second, False)):
        async with wire.database.statement() as session:
            assert await send_probe(session, probe=seen, job_id=job_id) is holds
    assert [row.id for row in await wire.claim()] == [first]


async def test_a_worker_that_dies_with_the_probe_leaves_no_pause_for_ever(
    wire: Wire, caller: Caller, other: Caller
) -> None:
    await paused(wire, caller, other)
    first, second = await wire.submit(caller, 2)
    assert await wire.probe() == first
    assert [row.id for row in await wire.claim()] == [first]
    await wire.let_run_out()  # it died with the claim: nothing was sent, and the same job goes
    [sent] = await wire.send_all()
    assert sent[0].id == first
    await wire.let_run_out()  # it died in mid-submit
    assert await wire.probe() == first
    async with wire.database.statement() as session:
        assert [row.id for row in await expire_sending(session, unknown_max_seconds=3600)] == [first]
    assert await wire.probe() == first, "the next one is not due yet"
    async with wire.database.statement() as session:
        await session.execute("UPDATE pauses SET probe_at = now()")
    assert await wire.probe() == second
    [sent] = await wire.send_all()
    await wire.record(sent[0].id, sent[1], OutcomeKind.ACCEPTED)  # and died before it had lifted the pause
    async with wire.database.statement() as session:
        assert (await get_sweep_status(session)).probing
    assert await wire.forbidden.probe()
    assert await wire.pauses() == []
    assert not await wrong(wire.database)


async def test_a_probe_that_is_canceled_makes_room(wire: Wire, caller: Caller, other: Caller) -> None:
    await paused(wire, caller, other)
    first, second = await wire.submit(caller, 2)
    assert await wire.probe() == first
    async with wire.database.transaction() as session:
        await request_cancel(session, tenant_id=caller.tenant.id, job_id=first)
    async with wire.database.statement() as session:
        await session.execute("UPDATE pauses SET probe_at = now()")
    assert await wire.probe() == second
    assert (await wire.pause())["refusals"] == 0


async def test_operators_lift_it_and_the_count_begins_anew(wire: Wire, caller: Caller, other: Caller) -> None:
    await paused(wire, caller, other)
    await wire.submit(caller, 2)
    assert await wire.probe() is not None
    async with wire.database.transaction() as session:
        lifted, count = await resume_jobs(session, tenant_id=None, model=MODEL)
    assert lifted is not None
    assert (lifted.paused_by, count) == ("upstream", 1)
    first, second = await wire.send_all()
    await wire.forbid(first)
    assert await wire.pauses() == [], "one 403 after that is a job's own again"
    await wire.accept(second)


async def test_an_operators_pause_is_not_lifted_by_a_success(wire: Wire, caller: Caller, other: Caller) -> None:
    sent = await wire.send(await make_caller(wire.database))
    await paused(wire, caller, other)
    async with wire.database.transaction() as session:
        await pause_jobs(
            session, tenant_id=None, model=MODEL, what=What.SUBMITS, paused_by="on-call", note="we look into it"
        )
    assert not await wire.accept(sent)
    pause = await wire.pause()
    assert (pause["paused_by"], pause["probe_at"], pause["probe_job_id"]) == ("on-call", None, None)
    assert await wire.probe() is None


async def test_what_was_on_the_wire_ends_the_pause_too(wire: Wire, caller: Caller, other: Caller) -> None:
    sent = await wire.send(await make_caller(wire.database))
    await paused(wire, caller, other)
    assert await wire.accept(sent)
    assert await wire.pauses() == []


async def test_ordinary_submits_have_nothing_to_refute(wire: Wire, caller: Caller) -> None:
    [job_id] = await wire.sending(caller)
    [row] = await wire.record(job_id, 1, OutcomeKind.ACCEPTED)
    assert row.forbidden is False
