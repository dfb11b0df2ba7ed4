"""A cost that only the history has told, written down once: by two at a time, for jobs of every end, with budgets."""

import asyncio
from datetime import timedelta

from app.core.database.db import Database
from app.ledger.models import Period
from app.ledger.operations import correct_charge, set_budget
from app.reconciliation.operations import tell_cost
from app.reconciliation.queries import list_owners
from tests.factories.jobs import wrong
from tests.reconciliation.books import Books
from tests.reconciliation.test_requests import NO_COST


async def test_two_at_once_tell_it_once(books: Books, url: str) -> None:
    books.sim.set_faults(NO_COST)
    told = [await books.run() for _ in range(5)]
    async with books.database.snapshot() as session:
        owners = await list_owners(session, upstream_ids=[upstream_id for _, upstream_id in told])
    other = await Database.open(url, name="other", writers_max=4, readers_max=1)

    async def tell(database: Database, upstream_id: str) -> int | None:
        async with database.transaction() as session:
            return await tell_cost(session, job=owners[upstream_id][0], cost_micro=40_000)

    try:
        gave = await asyncio.gather(
            *(tell(database, upstream_id) for database in (books.database, other) for _, upstream_id in told)
        )
    finally:
        await other.close()
    assert sorted(gave, key=str) == [60_000] * 5 + [None] * 5
    assert (await books.balance())["posted"] == 5 * 40_000
    assert not await wrong(books.database)


async def test_what_an_operator_has_corrected_stands(books: Books) -> None:
    books.sim.set_faults(NO_COST)
    job_id, upstream_id = await books.run()
    books.sim.set_faults()
    async with books.database.transaction() as session:
        await correct_charge(
            session, tenant_id=books.caller.tenant.id, job_id=job_id, amount_micro=50_000, note="by hand"
        )
        await session.execute("UPDATE jobs SET charged_micro = 50000 WHERE id = $1", job_id)
    report = await books.reconcile()
    job = await books.engine.get(job_id)
    assert (job["cost_micro"], job["charged_micro"]) == (books.sim.book.charged()[upstream_id], 50_000)
    assert (report.tally.filled, report.tally.adjusted_micro) == (1, 0)


async def test_budgets_get_it_back(books: Books) -> None:
    books.sim.set_faults(NO_COST)
    _, upstream_id = await books.run()
    books.sim.set_faults()
    tenant_id, key_id = books.caller.tenant.id, books.caller.key.id
    async with books.database.transaction() as session:
        for subject_id in (tenant_id, key_id):
            await set_budget(
                session, tenant_id=tenant_id, subject_id=subject_id, period=Period.MONTH, limit_micro=1_000_000
            )

    async def spent() -> list[int]:
        return [row["spent_micro"] for row in await books.rows("SELECT spent_micro FROM budgets")]

    assert await spent() == [100_000, 100_000]
    await books.reconcile()
    cost = books.sim.book.charged()[upstream_id]
    assert await spent() == [cost, cost]


async def test_a_lost_job_that_cost_something(books: Books) -> None:
    """It is free for its tenant, and what it cost is exposure, as it was when it was lost."""
    job_id, upstream_id = await books.start()
    await books.change(
        "UPDATE jobs SET state = 'failed', error_code = 'result_lost', finished_at = now() - $2::interval, due_at = NULL"
        " WHERE id = $1",
        job_id,
        timedelta(seconds=1),
    )
    report = await books.reconcile()
    cost = books.sim.book.charged()[upstream_id]
    job = await books.engine.get(job_id)
    assert (report.tally.filled, job["cost_micro"], job["charged_micro"]) == (1, cost, 0)
    [exposed] = await books.rows("SELECT reason, amount FROM exposures")
    assert (exposed["reason"], exposed["amount"]) == ("lost", cost)
    assert report.open == 0
