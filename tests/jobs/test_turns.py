"""Whose job goes next: tenants take turns by credits and weight, their jobs by priority and age, within their limits."""

import asyncio
import contextlib
import json
import random
from collections import Counter, defaultdict
from datetime import timedelta
from uuid import UUID

import pytest

from app.core import clock
from app.core.database.db import Database
from app.core.database.session import Made, Session
from app.core.database.sql import Query
from app.jobs.claiming.turns import ClaimedJob, claim_queued
from app.jobs.models import ErrorCode, State
from app.pace.models import PauseReason
from app.pace.pauses.operations import pause_submits, resume_submits
from app.upstream.wire import OutcomeKind
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import Engine, later, wrong

VIDEO, IMAGE = 5_000_000, 50_000


async def limit(database: Database, caller: Caller, **limits: float) -> None:
    """Give a tenant limits or a weight."""
    async with database.statement() as session:
        for name, value in limits.items():
            await session.execute(f"UPDATE tenants SET {name} = $2 WHERE id = $1", caller.tenant.id, value)


async def queue_of(database: Database, caller: Caller) -> tuple[int, int, int, int]:
    """(queued, ready, claimed, in_flight)."""
    async with database.snapshot() as session:
        row = await session.fetchrow(
            "SELECT queued, ready, claimed, in_flight FROM queues WHERE subject_id = $1", caller.tenant.id
        )
    assert row is not None
    return tuple(row)


def jain(shares: list[float]) -> float:
    """Jain's index of fairness: 1 is perfect."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1, 2, 7, 30, 64), (1,), (2,), (64,)], ids=str)
async def test_shares_are_in_credits_and_by_weight(database: Database, engine: Engine, sizes: tuple[int, ...]) -> None:
    chance = random.Random(7)
    prices = {1: VIDEO, 2: IMAGE, 4: 20 * IMAGE}
    price_of: dict[UUID, tuple[int, int]] = {}
    for weight, price in prices.items():
        caller = await make_caller(database)
        await limit(database, caller, weight=weight, max_in_flight=100_000)
        number = min(4_000, 150_000_000 * weight // price)
        for job_id in await engine.submit(caller, number, held_micro=price):
            price_of[job_id] = (weight, price)
    sent: Counter[int] = Counter()
    while sum(sent.values()) < 300_000_000:
        for row in await engine.claim(chance.choice(sizes)):
            weight, price = price_of[row.id]
            sent[weight] += price
    shares = [sent[weight] / weight for weight in prices]
    print(f"claims of {sizes}: {dict(sent)}, Jain {jain(shares):.4f}")
    assert jain(shares) >= 0.98
    assert max(shares) - min(shares) <= 2 * VIDEO, "nobody is ahead by more than a job or two of the dearest"
    assert not await wrong(database)


async def test_who_comes_late_goes_next_and_gains_nothing_by_it(
    database: Database, engine: Engine, caller: Caller
) -> None:
    await limit(database, caller, max_in_flight=100_000)
    await engine.submit(caller, 500)
    for _ in range(20):
        await engine.claim(10)
    light = await make_caller(database)
    [mine] = await engine.submit(light)
    assert [row.id for row in await engine.claim(1)] == [mine]
    many = set(await engine.submit(light, 100))
    taken = [row.id in many for row in await engine.claim(40)]
    assert 19 <= sum(taken) <= 21, "half each, though it had nothing to send for so long"


async def test_a_free_job_takes_a_turn(database: Database, engine: Engine, caller: Caller) -> None:
    await engine.submit(caller, 200, held_micro=0)
    paying = await make_caller(database)
    theirs = set(await engine.submit(paying, 20, held_micro=1_000))
    taken = Counter(row.id in theirs for row in await engine.claim(40))
    assert taken[True] >= 19


async def test_within_a_tenant_by_priority_and_age(database: Database, engine: Engine, caller: Caller) -> None:
    now = clock.now()

    async def at(minutes: float, priority: int) -> UUID:
        created_at = now - timedelta(minutes=minutes)
        return (await engine.submit(caller, priority=priority, created_at=created_at))[0]

    old, plain, urgent = await at(5.5, 0), await at(0, 5), await at(0.1, 9)
    older = await at(12, 0)
    assert [(await engine.claim(1))[0].id for _ in range(4)] == [older, urgent, old, plain]


async def test_not_before_and_back_in_line_in_its_old_place(database: Database, engine: Engine, caller: Caller) -> None:
    [future] = await engine.submit(caller, not_before=later(hours=1))
    first, second = await engine.submit(caller, 2)
    assert await queue_of(database, caller) == (3, 2, 0, 0)
    [row] = await engine.claim(1)
    assert row.id == first
    await engine.hand_back()
    await engine.set(future, "due_at = now(), rank_at = rank_at - interval '1 hour'")
    assert [row.id for row in await engine.claim()] == [first, second, future]
    assert await queue_of(database, caller) == (3, 3, 3, 0)
    assert not await wrong(database)


async def test_in_flight_is_never_more_than_may_be(database: Database, engine: Engine, caller: Caller) -> None:
    """Eight workers at once, some of whose claims are given back, and runs that end."""
    await limit(database, caller, max_in_flight=25)
    job_ids = await engine.submit(caller, 200)
    workers = [Engine(database) for _ in range(8)]
    chance = random.Random(4)

    ended: list[UUID] = []

    async def work(worker: Engine) -> None:
        while len(ended) <= len(job_ids) / 2:
            rows = await worker.claim(chance.randint(1, 20))
            if rows and chance.random() < 0.2:
                await worker.hand_back()
                continue
            for job_id, attempt in (await worker.open(rows)).items():
                assert await under_way() <= 25
                await refuse(worker, job_id, attempt)
                ended.append(job_id)

    async def under_way() -> int:
        async with database.snapshot() as session:
            count: int = await session.fetchval(
                "SELECT count(*) FROM jobs WHERE state IN ('sending', 'unknown', 'running') OR owner IS NOT NULL"
            )
        return count

    await asyncio.gather(*(work(worker) for worker in workers))
    queued, ready, claimed, in_flight = await queue_of(database, caller)
    assert (claimed, in_flight, queued) == (0, 0, ready)
    assert queued < len(job_ids) / 2
    assert not await wrong(database)


async def test_a_key_at_its_limit_holds_up_nobody(database: Database, engine: Engine, caller: Caller) -> None:
    """Its jobs are set aside as they are met, and come back one by one as it has room."""
    other = await make_caller(database)
    async with database.statement() as session:
        await session.execute(
            "INSERT INTO queues (subject_id, tenant_id, max_in_flight) VALUES ($1, $2, 3)",
            caller.key.id,
            caller.tenant.id,
        )
        await session.execute("UPDATE api_keys SET max_in_flight = 3 WHERE id = $1", caller.key.id)
    limited = await engine.submit(caller, 100)
    free = await engine.submit(caller, 5, key_id=other.key.id)
    taken: list[ClaimedJob] = []
    for _ in range(10):
        taken += await engine.claim(20)
        assert not await wrong(database)
    assert {row.id for row in taken} == {*limited[:3], *free}
    opened = await engine.open(taken)
    for job_id in limited[:2]:
        await refuse(engine, job_id, opened[job_id])
    again = [row.id for _ in range(3) for row in await engine.claim(20)]
    assert again == limited[3:5]
    assert not await wrong(database)
    async with database.statement() as session:
        await session.execute("UPDATE api_keys SET max_in_flight = NULL WHERE id = $1", caller.key.id)
    rest = [row.id for _ in range(10) for row in await engine.claim(20)]
    assert sorted(rest) == sorted(limited[5:])
    assert not await wrong(database)


async def refuse(engine: Engine, job_id: UUID, attempt: int) -> None:
    """The upstream says no: the job ends."""
    await engine.record(
        job_id, attempt, OutcomeKind.REJECTED, to_state=State.FAILED, reason="rejected",
        error_code=ErrorCode.UPSTREAM_REJECTED, message="no",
    )  # fmt: skip


async def test_after_trouble_with_the_account_one_goes_at_a_time(
    database: Database, engine: Engine, caller: Caller
) -> None:
    other = await make_caller(database)
    await engine.submit(caller, 5)
    await engine.submit(other, 5)
    async with database.statement() as session:
        await pause_submits(session, reason=PauseReason.ACCOUNT, seconds=-1, detail="no credits")
    async with database.transaction() as session:
        claimed = await claim_queued(session, owner=engine.owner, jobs_max=64, lease_seconds=30)
    assert (len(claimed.rows), claimed.more) == (1, False), "whoever claims does not ask again at once"
    async with database.statement() as session:
        await resume_submits(session)
    assert len(await engine.claim()) == 9


async def test_a_lower_limit_lets_what_is_under_way_end(database: Database, engine: Engine, caller: Caller) -> None:
    await engine.running(caller, 10)
    await engine.submit(caller, 5)
    await limit(database, caller, max_in_flight=3)
    assert await engine.claim() == []
    await limit(database, caller, max_in_flight=12)
    assert len(await engine.claim()) == 2
    assert not await wrong(database)


async def test_two_claims_at_once_share_what_is_there(database: Database, engine: Engine) -> None:
    callers = [await make_caller(database) for _ in range(5)]
    for caller in callers:
        await engine.submit(caller, 40)
    workers = [Engine(database) for _ in range(4)]
    claims = await asyncio.gather(*(worker.claim(50) for worker in workers))
    ids = [row.id for rows in claims for row in rows]
    assert len(ids) == len(set(ids)) == 200
    taken: defaultdict[UUID, int] = defaultdict(int)
    async with database.snapshot() as session:
        for row in await session.fetch("SELECT tenant_id FROM jobs WHERE owner = $1", workers[0].owner):
            taken[row["tenant_id"]] += 1
    assert max(taken.values(), default=10) - min(taken.values(), default=10) <= 1
    assert not await wrong(database)


async def test_the_blocked_are_not_looked_at(database: Database, engine: Engine) -> None:
    """A claim reads as much with ten thousand jobs of a tenant at its limit, and five hundred such tenants, as without."""
    free = await make_caller(database)
    await engine.submit(free, 64)
    await engine.claim(1)
    before = await buffers_of_a_claim(database)
    blocked = await make_caller(database)
    await limit(database, blocked, max_in_flight=0)
    await engine.submit(blocked, 10_000)
    for _ in range(500):
        other = await make_caller(database)
        await limit(database, other, max_in_flight=0)
        await engine.submit(other, 2)
    async with database.statement() as session:
        await session.execute("ANALYZE jobs")
    async with database.statement() as session:
        await session.execute("ANALYZE queues")
    after = await buffers_of_a_claim(database)
    print(f"buffers of a claim: {before} with nothing blocked, {after} with 11,000 jobs blocked")
    assert after < before * 1.5 + 60


class Explained(Session):
    """Counts the pages that its statements touch. What they give is what they would give, but for those that write."""

    pages = 0

    async def rows(self, query: Query[Made], /, **given: object) -> list[Made]:
        await self._explain(query, given)
        return [] if "UPDATE jobs SET" in query.text else await super().rows(query, **given)

    async def find_row(self, query: Query[Made], /, **given: object) -> Made | None:
        await self._explain(query, given)
        return await super().find_row(query, **given)

    async def find_value(self, query: Query[Made], /, **given: object) -> Made | None:
        await self._explain(query, given)
        return await super().find_value(query, **given)

    async def _explain(self, query: Query[Made], given: dict[str, object]) -> None:
        plan = await self.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query.text}", *query.arguments(given))
        top = json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"]
        self.pages += top["Shared Hit Blocks"] + top["Shared Read Blocks"]


async def buffers_of_a_claim(database: Database) -> int:
    """Pages touched by a claim of ten, rolled back."""

    class Undone(Exception):
        pass

    pages = 0
    with contextlib.suppress(Undone):  # a way to roll back, which a transaction here has no other of
        async with database.transaction() as session:
            explained = Explained(session._connection)
            await claim_queued(explained, owner=UUID(int=7), jobs_max=10, lease_seconds=30)
            pages = explained.pages
            raise Undone
    assert pages
    return pages
