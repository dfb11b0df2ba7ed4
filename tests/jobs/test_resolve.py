"""An operator's decision on a submission of which nobody could say whether it arrived."""

from uuid import UUID

import pytest

from app.core.database.db import Database
from app.core.errors import Malformed, Refusal
from app.core.ids import new_id
from app.jobs.admin.resolve import JobNotUnknown, UpstreamIdTaken, adopt_submission, release_submission
from app.jobs.admin.story import get_story
from app.jobs.claiming.records import observe_upstream_id
from app.jobs.models import State
from app.jobs.operations import JobNotFound
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, wrong


async def adopt(database: Database, job_id: UUID, upstream_id: str) -> State:
    async with database.transaction() as session:
        return await adopt_submission(session, job_id=job_id, upstream_id=upstream_id)


async def release(database: Database, job_id: UUID) -> State:
    async with database.transaction() as session:
        return await release_submission(session, job_id=job_id)


async def test_adopted_it_runs(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.unknown(caller)
    sent_at = (await engine.get(job_id))["sent_at"]
    assert await adopt(database, job_id, "up-1") is State.RUNNING
    job = await engine.get(job_id)
    assert (job["state"], job["upstream_id"], job["submitted_at"]) == ("running", "up-1", sent_at)
    assert (await engine.events(job_id))[-1] == ("unknown", "running", "adopted")
    async with database.snapshot() as session:
        story = await get_story(session, job_id=job_id)
    assert [(one.outcome, one.upstream_id) for one in story.attempts] == [("accepted", "up-1")]
    assert not await wrong(database)
    with pytest.raises(JobNotUnknown, match="running"):
        await adopt(database, job_id, "up-1")


async def test_released_it_fails_and_is_never_sent(database: Database, engine: Engine, caller: Caller) -> None:
    job_id, canceled = await engine.unknown(caller, 2)
    assert await release(database, job_id) is State.FAILED
    job = await engine.get(job_id)
    assert (job["state"], job["error_code"]) == ("failed", "submission_unknown")
    assert (await engine.events(job_id))[-1] == ("unknown", "failed", "released")
    await engine.set(canceled, "cancel_requested_at = now()")
    assert await release(database, canceled) is State.CANCELED
    assert not await wrong(database)
    assert await engine.claim() == []
    with pytest.raises(JobNotUnknown, match="failed"):
        await release(database, job_id)


async def test_an_answer_that_comes_later_is_kept(database: Database, engine: Engine, caller: Caller) -> None:
    adopted, released = await engine.unknown(caller, 2)
    await adopt(database, adopted, "up-other")
    await release(database, released)
    for job_id in (adopted, released):
        assert await engine.record(job_id, 1, OutcomeKind.ACCEPTED) == []
        async with database.snapshot() as session:
            story = await get_story(session, job_id=job_id)
        assert [one.upstream_id for one in story.observations] == [f"up-{job_id.hex}"]
    assert not await wrong(database)


async def test_what_belongs_to_another_job_is_refused(database: Database, engine: Engine, caller: Caller) -> None:
    [owner] = await engine.running(caller)
    job_id, observed = await engine.unknown(caller, 2)
    async with database.statement() as session:
        await observe_upstream_id(session, job_id=observed, attempt=1, upstream_id="up-seen", worker=engine.owner)
    for taken in (f"up-{owner.hex}", "up-seen"):
        with pytest.raises(UpstreamIdTaken):
            await adopt(database, job_id, taken)
        assert (await engine.get(job_id))["state"] == "unknown"
    assert await adopt(database, observed, "up-seen") is State.RUNNING, "its own late id is its own"
    assert not await wrong(database)


async def test_slips(database: Database, engine: Engine, caller: Caller) -> None:
    [queued] = await engine.submit(caller)
    [unknown] = await engine.unknown(caller) if not await engine.claim() else [queued]
    cases: list[tuple[UUID, str, type[Refusal]]] = [
        (new_id(), "up", JobNotFound),
        (queued, "up", JobNotUnknown),
        *((unknown, text, Malformed) for text in ("", "..", "a\nb", "\x00", "é", "\ud800", "x" * 201)),
    ]
    for job_id, text, refusal in cases:
        with pytest.raises(refusal):
            await adopt(database, job_id, text)
    with pytest.raises(JobNotFound):
        await release(database, new_id())
    with pytest.raises(JobNotUnknown, match="queued"):
        await release(database, queued)
