"""What the upstream took from the company's credits between two readings against our recorded costs; and balances."""

import asyncpg
import pytest

from app.reconciliation.decide import Explained, Spent, compare_spent
from app.reconciliation.models import Result
from tests.reconciliation.books import Books


@pytest.mark.parametrize(
    ("spent", "told"),
    [
        (100, Spent()),
        (150, Spent()),
        (200, Spent()),
        (205, Spent()),
        (206, Spent()),
        (207, Spent(ours=200)),
        (94, Spent()),
        (93, Spent(ours=100)),
        (0, Spent(ours=100)),
        (-1, Spent(topped_up=101)),
    ],
)
def test_what_costs_explain(spent: int, told: Spent) -> None:
    assert compare_spent(spent, Explained(least=100, most=200, jobs=10)) == told


async def readings(books: Books) -> list[dict[str, int]]:
    return [dict(row) for row in await books.rows("SELECT * FROM credit_readings ORDER BY id")]


async def test_readings_that_our_costs_explain(books: Books) -> None:
    assert (await books.reconcile()).result is Result.AGREES
    spent = 0
    for _ in range(3):
        _, upstream_id = await books.run()
        spent += books.sim.book.charged()[upstream_id]
    await books.start("sim-hang")
    report = await books.reconcile()
    assert (report.result, report.tally.topped_up_micro) == (Result.AGREES, 0)
    first, second = await readings(books)
    assert (first["previous_id"], second["previous_id"]) == (None, first["id"])
    assert first["paid_micro"] - second["paid_micro"] == second["spent_micro"] == spent
    assert second["least_micro"] <= spent <= second["most_micro"]
    assert second["most_micro"] == spent + 100_000, "what runs may have been charged"


async def test_credits_taken_that_no_job_explains(books: Books) -> None:
    await books.reconcile()
    await books.run()
    books.sim.config.credits_micros -= 5_000_000
    report = await books.reconcile()
    assert (report.result, report.tally.found) == (Result.DIFFERS, 1)
    [one] = await books.open()
    [_, second] = await readings(books)
    assert (one["kind"], one["job_id"], one["subject"]) == ("credits", None, str(second["id"]))
    assert (one["ours"] * 1_000_000, one["theirs"] * 1_000_000) == (second["most_micro"], second["spent_micro"])
    assert second["spent_micro"] - second["most_micro"] == 5_000_000
    assert (await books.reconcile()).open == 1
    books.sim.config.credits_micros += 5_000_000
    assert (await books.reconcile()).tally.topped_up_micro == 5_000_000
    report = await books.reconcile()
    assert (report.result, report.open) == (Result.AGREES, 0), "over the longer time it is explained"


async def test_credits_that_were_bought(books: Books) -> None:
    await books.reconcile()
    _, upstream_id = await books.run()
    books.sim.config.credits_micros += 50_000_000
    report = await books.reconcile()
    assert report.result is Result.AGREES
    cost = books.sim.book.charged()[upstream_id]
    assert 50_000_000 - cost <= report.tally.topped_up_micro <= 50_000_000
    [row] = await books.rows("SELECT topped_up FROM ops.reconciliations ORDER BY reconciliation_id DESC LIMIT 1")
    assert row["topped_up"] * 1_000_000 == report.tally.topped_up_micro


async def test_costs_recorded_that_nobody_took(books: Books) -> None:
    await books.reconcile(charge_slack_seconds=0)
    job_id, _ = await books.run()
    await books.change("UPDATE jobs SET cost_micro = 90000000, finished_at = now() WHERE id = $1", job_id)
    await books.reconcile(history=None, charge_slack_seconds=0)
    [one] = await books.open()
    assert (one["kind"], one["ours"]) == ("credits", 90)


async def test_readings_only_add_up(books: Books) -> None:
    await books.reconcile()
    for sql in ("UPDATE credit_readings SET paid_micro = 0", "DELETE FROM credit_readings"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await books.change(sql)


async def test_a_balance_that_is_not_its_transfers(books: Books) -> None:
    job_id, _ = await books.run()
    await books.start("sim-hang")
    assert (await books.reconcile()).result is Result.AGREES
    tenant_id = books.caller.tenant.id
    await books.change("UPDATE balances SET posted = posted + 1 WHERE tenant_id = $1", tenant_id)
    await books.reconcile()
    [one] = await books.open()
    assert (one["kind"], one["tenant_id"], one["subject"]) == ("balance", tenant_id, str(tenant_id))
    assert one["theirs"] * 1_000_000 - one["ours"] * 1_000_000 == 1
    await books.change("UPDATE balances SET posted = posted - 1 WHERE tenant_id = $1", tenant_id)
    report = await books.reconcile()
    assert (report.result, report.tally.settled) == (Result.AGREES, 1)
    assert (await books.engine.get(job_id))["state"] == "completed"
