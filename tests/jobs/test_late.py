"""Answers to submits that come too late to move their jobs are kept, and delay nobody."""

from typing import Any
from uuid import UUID

import asyncpg

from app.core.database.db import Database
from app.core.database.session import Row
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import SubmitRecord, record_late, record_submits
from app.jobs.models import State
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine, wrong
from tests.jobs.test_dispatch_again import Silent, dispatcher_of


def accepted(job_id: UUID, attempt: int, upstream_id: str) -> SubmitRecord:
    step = Step(State.RUNNING, "accepted", 0.0, upstream_state=UpstreamState.QUEUED)
    return SubmitRecord(job_id, attempt, step, Outcome(OutcomeKind.ACCEPTED, 200, 0.1, "told", upstream_id=upstream_id))


async def sent_again(engine: Engine, caller: Caller) -> UUID:
    """A job with its second attempt on the wire."""
    [job_id] = await engine.sending(caller)
    await engine.record(job_id, 1, OutcomeKind.NOT_SENT, to_state=State.QUEUED, reason="not_sent")
    assert await engine.open(await engine.claim(1)) == {job_id: 2}
    return job_id


async def kept(database: Database, job_id: UUID) -> list[tuple[int, str]]:
    """The upstream ids of a job that are not its own, by attempt."""
    async with database.snapshot() as session:
        rows: list[Row] = await session.fetch(
            "SELECT attempt, upstream_id FROM upstream_observations WHERE job_id = $1 ORDER BY attempt", job_id
        )
    return [tuple(row) for row in rows]


async def test_the_answers_to_two_attempts_come_in_one_group(
    database: Database, engine: Engine, caller: Caller
) -> None:
    job_id = await sent_again(engine, caller)
    first, second = accepted(job_id, 1, "first"), accepted(job_id, 2, "second")
    for late in ([first], [first, second]):  # the second time because the first answer was lost
        async with database.transaction() as session:
            settled = await record_submits(session, records=[first, second])
            assert settled.late == late
            await record_late(session, worker=engine.owner, records=settled.late)
    assert (await engine.get(job_id))["upstream_id"] == "second"
    assert await kept(database, job_id) == [(1, "first")]
    async with database.snapshot() as session:
        exchanges = await session.fetch(
            "SELECT attempt FROM upstream_exchanges WHERE job_id = $1 AND outcome = 'accepted' ORDER BY attempt", job_id
        )
        exposed = await session.fetch("SELECT upstream_id FROM exposures WHERE job_id = $1", job_id)
    assert [row["attempt"] for row in exchanges] == [1, 2]
    assert [row["upstream_id"] for row in exposed] == ["first"]
    assert not await wrong(database)


class Told(Silent):
    """Hears what was recorded, too."""

    def announce(self, job_ids: Any, *, due: bool) -> None:
        list(job_ids)

    def submitted(self, *_: Any) -> None:
        pass

    async def apply_pauses(self, records: Any) -> None:
        pass


async def test_what_comes_too_late_delays_nobody_else(
    url: str, database: Database, engine: Engine, caller: Caller
) -> None:
    """Somebody holds the balance to which the second start of its job is charged."""
    late_id = await sent_again(engine, caller)
    await engine.record(late_id, 2, OutcomeKind.ACCEPTED)
    other = await make_caller(database)
    [other_id] = await engine.sending(other)
    dispatcher = dispatcher_of(database)
    told: Any = Told(database)
    sender = dispatcher.sender
    sender._trouble = sender._account = sender._doorbell = told
    owner = await asyncpg.connect(url)
    try:
        async with owner.transaction():
            await owner.execute("SELECT FROM balances WHERE tenant_id = $1 FOR UPDATE", caller.tenant.id)
            coming = sender._recorder.post((caller.tenant.id, accepted(late_id, 1, "first")))
            beside = sender._recorder.post((other.tenant.id, accepted(other_id, 1, "other")))
            assert await beside is None
            assert (await engine.get(other_id))["state"] == "running"
            late = await coming
            assert late is not None
            assert not late.done()
        await late
    finally:
        await owner.close()
    await dispatcher.drain(0)
    assert await kept(database, late_id) == [(1, "first")]
    assert not await wrong(database)
