"""What hangs on a job's end: its hold, its use, and what the upstream may have charged that nobody pays."""

from typing import Any
from uuid import UUID

import pytest

from app.core.database.db import Database
from app.core.database.session import Row
from app.jobs.admin.resolve import release_submission
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import PollRecord, record_polls
from app.jobs.engine.sweeps import expire_waiting
from app.jobs.models import ErrorCode, State
from app.jobs.operations import request_cancel
from app.upstream.wire import OutcomeKind, UpstreamState
from tests.factories.callers import Caller
from tests.factories.jobs import Engine, wrong

HELD = 100_000
COST = 30_000


async def end(
    engine: Engine, step: Step, *, cost: int | None = None, charge: int = 0, run_seconds: float | None = None
) -> None:
    """The one running job that is due has come to this."""
    async with engine.database.transaction() as session:
        [row] = (await claim_running(session, owner=engine.owner, reads_max=10, lease_seconds=30)).rows
        await record_polls(session, records=[PollRecord(row.id, row.fence, step, run_seconds, 0.1, cost, charge, ())])


COMPLETED = Step(State.COMPLETED, "completed", None, body=b"{}")


def failed(code: ErrorCode) -> Step:
    return Step(State.FAILED, "failed" if code is ErrorCode.UPSTREAM_FAILED else code, None, code, "so it is")


async def rows(database: Database, sql: str, *args: object) -> list[Row]:
    async with database.snapshot() as session:
        return await session.fetch(sql, *args)


async def lines(database: Database, job_id: UUID) -> list[tuple[str, int]]:
    found = await rows(database, "SELECT kind, amount FROM transfers WHERE job_id = $1 ORDER BY created_at", job_id)
    return [tuple(row) for row in found]


async def exposed(database: Database) -> list[tuple[Any, ...]]:
    found = await rows(database, "SELECT job_id, reason, amount, upstream_id FROM exposures ORDER BY id")
    return [tuple(row) for row in found]


@pytest.fixture
async def running(engine: Engine, caller: Caller) -> UUID:
    [job_id] = await engine.running(caller)
    return job_id


async def test_completed_is_posted_and_counted(
    database: Database, engine: Engine, caller: Caller, running: UUID
) -> None:
    await end(engine, COMPLETED, cost=COST, charge=COST, run_seconds=2.5)
    assert await lines(database, running) == [("hold", HELD), ("post", COST)]
    [used] = await rows(database, "SELECT * FROM usage_hours")
    assert (used["tenant_id"], used["key_id"], used["model"]) == (caller.tenant.id, caller.key.id, "motionctrl-svd")
    assert (used["completed"], used["failed"], used["canceled"]) == (1, 0, 0)
    assert (used["charged_micro"], used["cost_micro"], used["run_seconds"]) == (COST, COST, 2.5)
    assert await exposed(database) == []
    assert not await wrong(database)


async def test_a_record_that_is_written_again_settles_nothing_twice(
    database: Database, engine: Engine, running: UUID
) -> None:
    async with database.transaction() as session:
        [row] = (await claim_running(session, owner=engine.owner, reads_max=10, lease_seconds=30)).rows
    record = PollRecord(row.id, row.fence, COMPLETED, 1.0, 0.1, COST, COST, ())
    for moved in (1, 0):
        async with database.transaction() as session:
            assert len((await record_polls(session, records=[record])).rows) == moved
    assert await lines(database, running) == [("hold", HELD), ("post", COST)]
    assert not await wrong(database)


async def test_a_cost_of_nothing_is_a_post_of_nothing(database: Database, engine: Engine, running: UUID) -> None:
    await end(engine, COMPLETED, cost=0, charge=0)
    assert await lines(database, running) == [("hold", HELD), ("post", 0)]
    assert not await wrong(database)


@pytest.mark.parametrize(
    ("code", "cost", "expected"),
    [
        (ErrorCode.UPSTREAM_FAILED, None, []),
        (ErrorCode.UPSTREAM_FAILED, COST, [("failed", COST)]),
        (ErrorCode.RESULT_LOST, None, [("lost", HELD)]),
        (ErrorCode.RESULT_TOO_LARGE, None, [("lost", HELD)]),
        (ErrorCode.RESULT_TOO_LARGE, COST, [("lost", COST)]),
        (ErrorCode.RESULT_UNREADABLE, None, [("lost", HELD)]),
        (ErrorCode.RESULT_UNREADABLE, COST, [("lost", COST)]),
        (ErrorCode.RESULT_UNREADABLE, 0, [("lost", 0)]),
        (ErrorCode.UPSTREAM_UNAVAILABLE, None, [("lost", HELD)]),
    ],
)
@pytest.mark.parametrize("canceling", [False, True])
async def test_what_fails_is_free_and_listed_where_it_may_have_cost(
    database: Database, engine: Engine, caller: Caller, running: UUID, code: ErrorCode, cost: int | None,
    expected: list[tuple[str, int]], canceling: bool,
) -> None:  # fmt: skip
    if canceling:
        async with database.transaction() as session:
            assert await request_cancel(session, tenant_id=caller.tenant.id, job_id=running) is State.RUNNING
    await end(engine, failed(code), cost=cost)
    assert (await engine.get(running))["state"] == ("canceled" if canceling else "failed")
    assert await lines(database, running) == [("hold", HELD), ("release", HELD)]
    assert [(reason, amount) for _, reason, amount, _ in await exposed(database)] == expected
    assert not await wrong(database)


async def test_a_job_canceled_too_late_pays_what_it_cost(
    database: Database, engine: Engine, caller: Caller, running: UUID
) -> None:
    async with database.transaction() as session:
        await request_cancel(session, tenant_id=caller.tenant.id, job_id=running)
    await end(engine, COMPLETED, cost=COST, charge=COST)
    assert (await engine.get(running))["state"] == "canceled"
    assert await lines(database, running) == [("hold", HELD), ("post", COST)]
    assert not await wrong(database)


async def test_an_unknown_submission_that_nobody_resolves_is_exposure(
    database: Database, engine: Engine, caller: Caller
) -> None:
    [job_id] = await engine.unknown(caller)
    await engine.set(job_id, "due_at = now()")
    async with database.transaction() as session:
        assert [row.id for row in await expire_waiting(session, lease_seconds=30)] == [job_id]
    assert await lines(database, job_id) == [("hold", HELD), ("release", HELD)]
    assert await exposed(database) == [(job_id, "unknown", HELD, None)]
    assert not await wrong(database)


async def test_one_that_an_operator_knows_never_started_is_not(
    database: Database, engine: Engine, caller: Caller
) -> None:
    [job_id] = await engine.unknown(caller)
    async with database.transaction() as session:
        assert await release_submission(session, job_id=job_id) is State.FAILED
    assert await lines(database, job_id) == [("hold", HELD), ("release", HELD)]
    assert await exposed(database) == []
    assert not await wrong(database)


async def test_a_second_start_is_exposure_once(database: Database, engine: Engine, running: UUID) -> None:
    for _ in range(2):
        async with database.transaction() as session:
            await session.execute("UPDATE jobs SET upstream_id = 'another' WHERE id = $1", running)
            await session.execute("UPDATE attempts SET upstream_id = 'another' WHERE job_id = $1", running)
        assert await engine.record(running, 1, OutcomeKind.ACCEPTED) == []
    assert await exposed(database) == [(running, "second_start", HELD, f"up-{running.hex}")]


async def test_a_deadline_that_passes_gives_the_hold_back(database: Database, engine: Engine, caller: Caller) -> None:
    [job_id] = await engine.submit(caller)
    await engine.set(job_id, "deadline_at = now()")
    async with database.transaction() as session:
        assert [row.id for row in await expire_waiting(session, lease_seconds=30)] == [job_id]
    assert await lines(database, job_id) == [("hold", HELD), ("release", HELD)]
    assert await exposed(database) == []
    assert not await wrong(database)


async def test_a_cost_told_once_is_kept_and_answers_that_cannot_be_read_are_counted_in_a_row(
    engine: Engine, running: UUID
) -> None:
    def step(**given: bool) -> Step:
        return Step(State.RUNNING, "so it is", 0.0, upstream_state=UpstreamState.COMPLETED, **given)

    unreadable, trouble = step(retry=True, unreadable=True), step(retry=True)
    for told, cost, counted in [(unreadable, COST, 1), (trouble, None, 1), (unreadable, None, 2), (step(), None, 0)]:
        await end(engine, told, cost=cost)
        row = await engine.get(running)
        assert (row["unreadable"], row["cost_micro"]) == (counted, COST)
    async with engine.database.transaction() as session:
        [row] = (await claim_running(session, owner=engine.owner, reads_max=10, lease_seconds=30)).rows
    assert (row.unreadable, row.cost_micro) == (0, COST)
