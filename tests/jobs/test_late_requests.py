"""A request of the upstream that the history shows only after its attempt was proven absent, or after its job lost another one, and
an answer that comes while the history gives its request away."""

import asyncio
from uuid import UUID

from app.core.database.db import Database
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import PollRecord, SubmitRecord, observe_upstream_id, record_polls
from app.jobs.engine.sweeps import expire_waiting
from app.jobs.engine.taken_id import record_late_id
from app.jobs.models import Resolution, State
from app.jobs.unknown.absent import prove_absent
from app.jobs.unknown.adopting import Adoption, adopt_attempts, lock_requests
from app.jobs.unknown.evicting import evict, lock_owner
from app.jobs.unknown.late import LateRequest, note_late_request, take_back_resubmit
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine, wrong
from tests.gateway import eventually


async def resubmitted(engine: Engine, caller: Caller) -> LateRequest:
    """A job that is queued once more, and its first request."""
    [job_id] = await engine.unknown(caller)
    await engine.set(job_id, "on_unknown = 'resubmit'")
    async with engine.database.transaction() as session:
        absent = await prove_absent(session, attempts=[(job_id, 1)], may_resubmit=True)
    assert absent.resubmitted == 1
    return LateRequest(job_id, 1, f"first-{job_id.hex}", None, 70_000)


async def taken_back(engine: Engine, late: LateRequest) -> bool:
    async with engine.database.transaction() as session:
        return await take_back_resubmit(session, late=late)


async def noted(engine: Engine, late: LateRequest) -> Resolution | None:
    async with engine.database.transaction() as session:
        return await note_late_request(session, late=late, worker=engine.owner)


async def ids_of(engine: Engine, job_id: UUID) -> tuple[str | None, set[str]]:
    """The job's own request, and those that were observed."""
    async with engine.database.snapshot() as session:
        rows = await session.fetch("SELECT upstream_id FROM upstream_observations WHERE job_id = $1", job_id)
    return (await engine.get(job_id))["upstream_id"], {row["upstream_id"] for row in rows}


async def test_a_job_that_waits_to_be_sent_again_runs_with_its_first_request(engine: Engine, caller: Caller) -> None:
    late = await resubmitted(engine, caller)
    assert await taken_back(engine, late)
    job = await engine.get(late.job_id)
    assert (job["state"], job["attempt"], job["upstream_id"]) == ("running", 1, late.upstream_id)
    assert await engine.claim() == []
    assert not await taken_back(engine, late)
    assert await noted(engine, late) is None
    assert not await wrong(engine.database)


async def test_a_job_that_is_about_to_be_sent_is_not_taken_back(engine: Engine, caller: Caller) -> None:
    late = await resubmitted(engine, caller)
    [claimed] = await engine.claim()
    assert not await taken_back(engine, late)
    await engine.open([claimed])
    assert not await taken_back(engine, late)
    assert not await wrong(engine.database)


async def test_another_jobs_request_takes_nothing_back(engine: Engine, caller: Caller, database: Database) -> None:
    late = await resubmitted(engine, caller)
    other = await make_caller(database)
    [owner] = await engine.unknown(other)
    async with database.transaction() as session:
        adoption = Adoption(owner, 1, late.upstream_id)
        assert await adopt_attempts(session, adoptions=[adoption], resolution=Resolution.ADOPTED)
    assert not await taken_back(engine, late)
    assert (await engine.get(late.job_id))["state"] == "queued"
    assert not await wrong(database)


async def test_the_first_request_of_a_job_that_was_sent_again_is_a_second_start(engine: Engine, caller: Caller) -> None:
    late = await resubmitted(engine, caller)
    await engine.open(await engine.claim())
    await engine.record(late.job_id, 2, OutcomeKind.ACCEPTED)
    assert not await taken_back(engine, late)
    assert await noted(engine, late) is Resolution.PROVEN_ABSENT
    assert await ids_of(engine, late.job_id) == (f"up-{late.job_id.hex}", {late.upstream_id})
    assert await exposed(engine, late.job_id) == [("second_start", 70_000)]
    assert await noted(engine, late) is None
    assert not await wrong(engine.database)


async def test_the_own_request_of_a_job_whose_result_was_withdrawn_is_a_second_start(
    engine: Engine, caller: Caller, database: Database
) -> None:
    [job_id] = await engine.unknown(caller)
    async with database.transaction() as session:
        await adopt_attempts(session, adoptions=[Adoption(job_id, 1, "another's")], resolution=Resolution.ADOPTED)
    await complete(engine, job_id)
    [owner] = await engine.sending(await make_caller(database))
    async with database.transaction() as session:
        await lock_owner(session, job_id=owner)
        assert await evict(session, upstream_id="another's", owner=owner, unknown_max_seconds=60) == job_id
    late = LateRequest(job_id, 1, "its own", None, 70_000)
    assert await noted(engine, late) is Resolution.ADOPTED
    assert await ids_of(engine, job_id) == (None, {"its own"})
    assert await exposed(engine, job_id) == [("second_start", 70_000)]
    assert not await wrong(database)


async def test_an_adoption_waits_for_a_late_answer_about_the_same_request(
    engine: Engine, caller: Caller, database: Database
) -> None:
    """The answer came first, so nobody gets the request by inference."""
    adopted, answered = await engine.unknown(caller, 2)
    adoption = Adoption(adopted, 1, "named")

    async def adopt() -> int:
        async with database.transaction() as session:
            return len(await adopt_attempts(session, adoptions=[adoption], resolution=Resolution.ADOPTED))

    async with database.transaction() as session:
        await lock_requests(session, upstream_ids=["named"])
        adopting = asyncio.create_task(adopt())
        await eventually(lambda: _is_waiting(database))
        await observe_upstream_id(session, job_id=answered, attempt=1, upstream_id="named", worker=engine.owner)
    assert await adopting == 0
    assert (await engine.get(adopted))["state"] == "unknown"


async def _is_waiting(database: Database) -> bool:
    async with database.snapshot() as session:
        return bool(await session.fetch("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


async def test_a_late_answer_takes_the_request_from_who_adopted_it_first(
    engine: Engine, caller: Caller, database: Database
) -> None:
    adopted, answered = await engine.unknown(caller, 2)
    await engine.set(answered, "due_at = now() - interval '1 s'")
    async with database.transaction() as session:
        await expire_waiting(session, lease_seconds=30.0)
    async with database.transaction() as session:
        adoption = Adoption(adopted, 1, "named")
        assert await adopt_attempts(session, adoptions=[adoption], resolution=Resolution.ADOPTED)
    outcome = Outcome(OutcomeKind.ACCEPTED, 200, 0.1, "told", upstream_id="named")
    step = Step(State.RUNNING, "accepted", 0.0, upstream_state=UpstreamState.QUEUED)
    record = SubmitRecord(answered, 1, step, outcome)
    await record_late_id(database, record, owner=engine.owner, unknown_max_seconds=3600)
    assert (await engine.get(adopted))["upstream_id"] is None
    assert await ids_of(engine, answered) == (None, {"named"})
    assert not await wrong(database)


async def complete(engine: Engine, job_id: UUID) -> None:
    """A poll tells that it has ended."""
    async with engine.database.transaction() as session:
        [row] = (await claim_running(session, owner=engine.owner, reads_max=1, lease_seconds=30)).rows
    assert row.id == job_id
    step = Step(State.COMPLETED, "completed", None, body=b'{"output":"x"}', upstream_state=UpstreamState.COMPLETED)
    record = PollRecord(
        job_id=job_id, fence=row.fence, step=step, run_seconds=1.0, detection_seconds=0.1, cost_micro=50_000,
        charge_micro=50_000, exchanges=(),
    )  # fmt: skip
    async with engine.database.transaction() as session:
        await record_polls(session, records=[record])


async def exposed(engine: Engine, job_id: UUID) -> list[tuple[str, int]]:
    async with engine.database.snapshot() as session:
        rows = await session.fetch("SELECT reason, amount FROM exposures WHERE job_id = $1", job_id)
    return [(row["reason"], row["amount"]) for row in rows]
