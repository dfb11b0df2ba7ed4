"""The budget in Postgres: what claims are granted, and what is kept of what was learned."""

from collections.abc import AsyncIterator
from dataclasses import asdict

import pytest

from app.core.database.db import Database
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.turns import Claimed, claim_queued
from app.pace.budget import configure, forget_seconds, learn
from app.pace.decide import FREE_NATS
from app.pace.models import Second, Throttled
from tests.conftest import NewDatabase
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine


@pytest.fixture
async def database(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = await Database.open(await new_database(), name="tests", writers_max=4, readers_max=2)
    yield database
    await database.close()


@pytest.fixture
async def engine(database: Database) -> Engine:
    return Engine(database)


@pytest.fixture
async def caller(database: Database) -> Caller:
    return await make_caller(database)


async def put(engine: Engine, assignments: str) -> None:
    async with engine.database.statement() as session:
        await session.execute(f"UPDATE upstream_state SET {assignments}")


async def tokens(engine: Engine) -> float:
    async with engine.database.snapshot() as session:
        found: float = await session.fetchval("SELECT tokens FROM upstream_state")
    return found


async def submits(engine: Engine, most: int = 64) -> Claimed:
    async with engine.database.transaction() as session:
        return await claim_queued(session, owner=engine.owner, jobs_max=most, lease_seconds=30)


async def polled(engine: Engine, **given: float) -> tuple[int, float | None, bool]:
    """How many running jobs were claimed, when there is more, and whether on trial."""
    async with engine.database.transaction() as session:
        taken = await claim_running(session, owner=engine.owner, reads_max=64, lease_seconds=30, **given)  # type: ignore[arg-type]
    return len(taken.rows), taken.wait_seconds, taken.trial


async def test_a_claim_takes_its_tokens_and_says_when_the_next_comes(engine: Engine, caller: Caller) -> None:
    await engine.submit(caller, 10)
    await put(engine, "rate = 2, tokens = 9, limit_per_minute = 120, refilled_at = now()")
    first = await submits(engine)
    assert len(first.rows) == 1, "the burst is one and a half"
    assert first.wait_seconds is not None
    assert 0.1 < first.wait_seconds <= 0.3
    second = await submits(engine)
    assert (second.rows, await tokens(engine)) == ([], pytest.approx(0.5, abs=0.1))
    assert second.wait_seconds is not None
    await put(engine, "rate = 10000, tokens = 2500, limit_per_minute = NULL")
    last = await submits(engine)
    assert (len(last.rows), last.wait_seconds) == (9, None)


async def test_with_nothing_to_do_nobody_waits_for_tokens(engine: Engine, caller: Caller) -> None:
    await put(engine, "rate = 1, tokens = 0, refilled_at = now()")
    assert (await submits(engine)).wait_seconds is None
    assert await polled(engine) == (0, None, False)


async def test_submits_leave_the_tokens_to_polls_that_are_due(engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 3)
    await engine.submit(caller, 10)
    await put(engine, "rate = 16, tokens = 4, limit_per_minute = 960, refilled_at = now() + interval '1 minute'")
    assert len((await submits(engine)).rows) == 1
    assert (await polled(engine))[0] == 3
    held = await submits(engine)
    assert held.rows == []
    assert held.wait_seconds is not None


async def test_a_fetch_is_charged_to_the_next_claim(engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 2)
    await put(engine, "rate = 16, tokens = 2, limit_per_minute = 960, refilled_at = now() + interval '1 minute'")
    assert (await polled(engine))[0] == 2
    assert await polled(engine, debt=5) == (0, None, False)
    assert await tokens(engine) == -5


async def test_reads_that_do_not_count_have_a_pace_of_their_own(engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 5)
    await put(
        engine, f"rate = 1, tokens = 0, limit_per_minute = 60, doubt = {FREE_NATS}, ease_rate = 12, read_tokens = 3"
    )
    await put(engine, "refilled_at = now() + interval '1 minute', resume_at = now() + interval '1 minute'")
    number, wait_seconds, trial = await polled(engine)
    assert (number, trial, await tokens(engine)) == (3, False, 0)
    assert wait_seconds is not None
    assert wait_seconds < 0.2, "the pause is the submits'"


async def test_a_few_reads_go_out_in_a_pause_on_trial(engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 5)
    await put(
        engine, "rate = 1, tokens = 0, limit_per_minute = 60, trial_reads = 4, resume_at = now() + interval '20 s'"
    )
    assert (await polled(engine))[0::2] == (4, True)
    number, wait_seconds, _ = await polled(engine)
    assert (number, round(wait_seconds or 0)) == (0, 1), "asked again before the pause ends: it may be shorter by then"
    assert (await submits(engine)).rows == []


async def test_a_full_minute_grants_nothing(engine: Engine, caller: Caller) -> None:
    await engine.submit(caller, 10)
    await put(engine, "rate = 2, tokens = 1, limit_per_minute = 300, refilled_at = now() - interval '1 minute'")
    async with engine.database.statement() as session:
        await session.execute(
            "INSERT INTO upstream_seconds (at, submits, refused_submits)"
            " VALUES (date_trunc('second', now()) - interval '30 s', 300, 3)"
        )
    assert (await submits(engine)).rows == [], "297 of 295"
    await put(engine, "limit_per_minute = 306")
    assert len((await submits(engine)).rows) == 1


async def test_a_ceiling_holds_for_all_kinds_and_whatever_was_learned(engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 4)
    await engine.submit(caller, 10)
    async with engine.database.statement() as session:
        await configure(session, ceiling_per_minute=600.0, max_in_flight=None)
        await session.execute("DELETE FROM upstream_seconds")
        await session.execute(
            "INSERT INTO upstream_seconds (at, reads) VALUES (date_trunc('second', now()) - interval '9 s', 597)"
        )
    await put(engine, f"rate = 10000, doubt = {FREE_NATS}, read_tokens = 9, tokens = 9")
    assert (await polled(engine))[0] == 2, "a burst of a quarter second"
    assert len((await submits(engine)).rows) == 1
    assert (await submits(engine)).rows == []


async def test_so_many_jobs_at_most_are_at_the_upstream(engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 2)
    await engine.submit(caller, 10)
    async with engine.database.statement() as session:
        await configure(session, ceiling_per_minute=None, max_in_flight=5)
    await engine.fill_budget()
    assert len((await submits(engine)).rows) == 3
    assert (await submits(engine)).rows == []


async def test_while_hardly_anything_is_answered_submits_stop_and_polls_trickle(engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 5)
    await engine.submit(caller, 5)
    await put(engine, "rate = 100, tokens = 25, broken_at = now()")
    stopped = await submits(engine)
    assert (stopped.rows, round(stopped.wait_seconds or 0)) == ([], 1)
    assert (await polled(engine))[0] == 1
    assert (await polled(engine))[0] == 0


async def test_the_results_that_are_forgotten_next_come_first(engine: Engine, caller: Caller) -> None:
    ages = dict(zip(await engine.running(caller, 4), (100, 3000, 2000, 4000), strict=True))
    for place, (job_id, age) in enumerate(ages.items()):
        await engine.set(
            job_id, f"submitted_at = now() - interval '{age} s', due_at = now() - interval '{9 - place} s'"
        )
    await put(engine, "rate = 8, tokens = 2, limit_per_minute = 480, refilled_at = now() + interval '1 minute'")
    async with engine.database.transaction() as session:
        taken = await claim_running(session, owner=engine.owner, reads_max=64, lease_seconds=30, expires_seconds=3600)
    assert sorted(ages[row.id] for row in taken.rows) == [2000, 3000], "one is past its hour"
    assert taken.wait_seconds is not None


async def test_what_is_learned_is_kept(engine: Engine) -> None:
    async with engine.database.transaction() as session:
        now = await session.fetchval("SELECT extract(epoch FROM now())::double precision")
        for place in range(59):
            await session.execute(
                "INSERT INTO upstream_seconds (at, submits) VALUES (date_trunc('second', now()) - make_interval(secs => $1), 5)",
                float(place + 1),
            )
    refused = Throttled(is_read=False, sent_at=now, reset_at=now + 10)
    async with engine.database.transaction() as session:
        before, after, _ = await learn(
            session, held=False, refused=[refused], passed=0, ended=[Second(int(now), refused_submits=1)]
        )
    assert before.limit is None
    assert after.limit == pytest.approx(245, abs=6), "the fifty seconds that still count"
    async with engine.database.transaction() as session:
        again, _, _ = await learn(session, held=False, refused=[], passed=0, ended=[Second(int(now), refused_reads=2)])
        row = await session.fetchrow("SELECT * FROM upstream_seconds WHERE refused_submits > 0")
        now_row = await session.fetchrow("SELECT * FROM ops.upstream_now")
    assert asdict(again) == pytest.approx(asdict(after), abs=1e-5), "an instant is kept to the microsecond"
    assert row is not None
    assert (row["refused_reads"], row["refused_submits"]) == (2, 1)
    assert now_row is not None
    assert now_row["budget_per_minute"] == pytest.approx(after.rate * 60)
    assert (now_row["throttled_per_minute"], now_row["paused_reason"]) == (3, "throttled")


async def test_counts_that_nobody_asks_for_are_dropped(engine: Engine) -> None:
    async with engine.database.statement() as session:
        await session.execute(
            "INSERT INTO upstream_seconds (at) SELECT now() - make_interval(secs => s) FROM unnest(ARRAY[1, 700]) AS s"
        )
    async with engine.database.statement() as session:
        await forget_seconds(session)
        assert await session.fetchval("SELECT count(*) FROM upstream_seconds") == 1
