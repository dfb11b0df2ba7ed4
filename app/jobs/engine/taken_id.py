"""Accepted submits whose request another job has already, or whose job has gone on without the answer."""

from dataclasses import replace
from uuid import UUID

import asyncpg

from app.core.crash import crash_point
from app.core.database.db import Database, retry_until_stored
from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import Moved, Settled, SubmitRecord, observe_upstream_id, record_late, record_submits
from app.jobs.endings import Ended
from app.jobs.models import State
from app.jobs.unknown.adopting import lock_requests
from app.jobs.unknown.evicting import evict, free_inferred, lock_owner
from app.upstream.wire import OutcomeKind

log = get_logger(__name__)

NOTHING_MOVED = Settled(Moved((), 0, False, Ended()), [], False)


async def claim_taken_id(
    database: Database, record: SubmitRecord, *, owner: UUID, unknown_max_seconds: float
) -> tuple[SubmitRecord, Settled]:
    """Record an accepted submit whose request another job has, and return what was recorded. What the upstream says itself is certain: if the other job has the
    request only by inference, it passes to this job. If the upstream has given it to both, this job becomes unknown, and the id is
    recorded as an observation. One transaction. `owner`: the process."""
    upstream_id = record.outcome.upstream_id
    assert upstream_id is not None

    shared = _without_id(record, unknown_max_seconds)

    async def pass_on() -> tuple[UUID | None, SubmitRecord, Settled]:
        async with database.transaction() as session:
            await lock_requests(session, upstream_ids=[upstream_id])
            if await lock_owner(session, job_id=record.job_id) == upstream_id:
                return None, record, NOTHING_MOVED  # an earlier call was committed, and its answer was lost
            evicted = await evict(
                session, upstream_id=upstream_id, owner=record.job_id, unknown_max_seconds=unknown_max_seconds
            )
            if evicted is not None:
                crash_point("evict.before_record")
                return evicted, record, await record_submits(session, records=[record])
            await observe_upstream_id(
                session, job_id=record.job_id, attempt=record.attempt, upstream_id=upstream_id, worker=owner
            )
            settled = await record_submits(session, records=[shared])
            if settled.late:
                await record_late(session, worker=owner, records=settled.late)
            return None, shared, settled._replace(late=[])

    crash_point("evict.before")
    try:
        evicted, recorded, settled = await retry_until_stored(pass_on)
    except asyncpg.UniqueViolationError:  # a third job has got it in the meantime
        return await claim_taken_id(database, record, owner=owner, unknown_max_seconds=unknown_max_seconds)
    crash_point("evict.after")
    if recorded is shared:
        log.error("submit.upstream_id_given_twice", job_id=show_id("job", record.job_id), upstream_id=upstream_id)
    _say(record, evicted)
    return recorded, settled


def _without_id(record: SubmitRecord, unknown_max_seconds: float) -> SubmitRecord:
    """The record of a submit whose request is another job's."""
    step = Step(State.UNKNOWN, "upstream_id_taken", unknown_max_seconds)
    outcome = replace(record.outcome, kind=OutcomeKind.UNKNOWN, detail="upstream_id_taken", upstream_id=None)
    return SubmitRecord(record.job_id, record.attempt, step, outcome)


async def record_late_id(database: Database, record: SubmitRecord, *, owner: UUID, unknown_max_seconds: float) -> None:
    """Record an accepted submit whose answer came after its job had gone on. A job that was given another request by inference gets
    its own instead, and whoever has that by inference loses it."""
    upstream_id = record.outcome.upstream_id
    assert upstream_id is not None

    async def write() -> UUID | None:
        async with database.transaction() as session:
            await lock_requests(session, upstream_ids=[upstream_id])
            await lock_owner(session, job_id=record.job_id)
            evicted = await evict(
                session, upstream_id=upstream_id, owner=record.job_id, unknown_max_seconds=unknown_max_seconds
            )
            await free_inferred(
                session, job_id=record.job_id, attempt=record.attempt, upstream_id=upstream_id,
                unknown_max_seconds=unknown_max_seconds,
            )  # fmt: skip
            settled = await record_submits(session, records=[record])
            if settled.late:
                await record_late(session, worker=owner, records=settled.late)
            return evicted

    _say(record, await retry_until_stored(write))


def _say(record: SubmitRecord, evicted: UUID | None) -> None:
    if evicted is not None:
        log.warning(
            "submit.request_given_back", job_id=show_id("job", record.job_id), upstream_id=record.outcome.upstream_id,
            from_job=show_id("job", evicted),
        )  # fmt: skip
