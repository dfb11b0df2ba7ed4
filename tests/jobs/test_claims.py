"""A claim that ran out, or that the database has forgotten, opens nothing, not even beside the one that came after it."""

from uuid import UUID

from app.core.clock import monotonic
from app.core.database.db import Database
from app.core.database.session import Session
from app.jobs.claiming.claims import claim_running, open_attempts, release_claims
from app.jobs.claiming.lease import Leases
from app.jobs.claiming.turns import claim_queued
from app.jobs.models import State
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller
from tests.factories.jobs import LEASE_SECONDS, Engine, wrong


async def test_of_two_claims_of_one_process_the_later_one_holds(
    database: Database, engine: Engine, caller: Caller
) -> None:
    """While Postgres is away the first waits to be opened, runs out, and is opened in one group with the second."""
    [job_id] = await engine.submit(caller)
    [first] = await engine.claim()
    await engine.let_run_out()
    [second] = await engine.claim()
    claims = [(job_id, first.fence), (job_id, second.fence)]
    for _ in range(2):  # the second time because the first answer was lost
        async with database.statement() as session:
            opened = await open_attempts(session, owner=engine.owner, claims=claims, lease_seconds=LEASE_SECONDS)
        assert opened == {(job_id, second.fence): 1}
    assert (await engine.get(job_id))["attempt"] == 1
    assert not await wrong(database)


async def forget(database: Database, job_id: UUID) -> None:
    """As if Postgres had died before the claim of a queued job was on its disk."""
    async with database.transaction() as session:
        await session.execute(
            "UPDATE jobs SET fence = fence - 1, owner = NULL, lease_until = NULL WHERE id = $1 AND owner IS NOT NULL",
            job_id,
        )
        await session.execute("UPDATE queues SET claimed = claimed - 1 WHERE claimed > 0")


async def test_a_claim_that_the_database_has_forgotten_opens_nothing_of_anothers(
    database: Database, engine: Engine, caller: Caller
) -> None:
    """Its fence is given out again."""
    [job_id] = await engine.submit(caller)
    [forgotten] = await engine.claim()
    await forget(database, job_id)
    assert await engine.open([forgotten]) == {}, "nobody holds it"
    other = Engine(database)
    [claimed] = await other.claim()
    assert claimed.fence == forgotten.fence
    assert await engine.open([forgotten]) == {}, "it is another's now"
    async with database.statement() as session:
        released = (job_id, forgotten.fence, 0.0, "refused", 0.1)
        await release_claims(session, owner=engine.owner, rows=[released])
    assert await other.open([claimed]) == {job_id: 1}
    assert await engine.open([forgotten]) == {}, "another has opened it"
    assert await other.open([claimed]) == {job_id: 1}, "the first answer was lost"
    await other.record(job_id, 1, OutcomeKind.UNKNOWN, to_state=State.UNKNOWN, reason="maybe_sent")
    assert await engine.open([forgotten]) == {}
    assert not await wrong(database)


async def test_the_same_claim_a_second_time_is_worked_on_once(
    database: Database, engine: Engine, caller: Caller
) -> None:
    [job_id] = await engine.submit(caller)
    leases = Leases(database, owner=engine.owner, lease_seconds=LEASE_SECONDS)
    [first] = leases.fresh(await engine.claim(), held=leases.now_held())
    with leases.held((job_id, first.fence), asked_at=monotonic()):
        await forget(database, job_id)
        held = leases.now_held()
        again = await engine.claim()
        assert [(row.id, row.fence) for row in again] == [(job_id, first.fence)]
        assert await engine.open([first]) == {job_id: 1}, "who works on it goes on"
        await engine.record(job_id, 1, OutcomeKind.UNKNOWN, to_state=State.UNKNOWN, reason="maybe_sent")
    assert leases.now_held() == frozenset()
    assert leases.fresh(again, held=held) == [], (
        "it was sent by this very claim, and would be given the same attempt again"
    )


async def test_only_claims_do_not_wait_for_the_disk(database: Database, engine: Engine, caller: Caller) -> None:
    async def durable(session: Session) -> bool:
        return bool(await session.fetchval("SELECT current_setting('synchronous_commit') <> 'off'"))

    await engine.submit(caller)
    async with database.transaction() as session:
        [row] = (await claim_queued(session, owner=engine.owner, jobs_max=1, lease_seconds=LEASE_SECONDS)).rows
        assert not await durable(session)
    async with database.transaction() as session:
        assert await durable(session)
        await open_attempts(session, owner=engine.owner, claims=[(row.id, row.fence)], lease_seconds=LEASE_SECONDS)
        assert await durable(session)
    async with database.transaction() as session:
        await claim_running(session, owner=engine.owner, reads_max=1, lease_seconds=LEASE_SECONDS)
        assert not await durable(session)
