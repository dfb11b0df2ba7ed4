"""Every request of the upstream's against our jobs: each difference ends as the right row, once, with the job's name."""

from decimal import Decimal
from typing import Any

import pytest

from app.reconciliation.models import Result
from app.simulator.timeline import Timeline
from tests.factories.jobs import wrong
from tests.reconciliation.books import Books

NO_COST = {"match": "any", "fault": "no_cost"}


def credits(micro: int) -> Decimal:
    return Decimal(micro) / 1_000_000


async def named(books: Books) -> list[tuple[Any, ...]]:
    return [(one["kind"], one["upstream_id"], one["job_id"]) for one in await books.open()]


async def test_books_that_agree(books: Books) -> None:
    for model in ("sim-instant", "sim-images", "sim-fail"):
        await books.run(model)
    report = await books.reconcile()
    assert (report.result, report.open, report.tally.compared, report.tally.history_rows) == (Result.AGREES, 0, 3, 5)
    [row] = await books.rows("SELECT * FROM ops.reconciliations")
    assert (row["result"], row["compared"], row["asked_by"], row["detail"]) == ("agrees", 3, "test", "")
    assert row["read_until"] == row["until"]
    assert not await wrong(books.database)


async def test_a_cost_that_somebody_changed(books: Books) -> None:
    job_id, upstream_id = await books.run()
    await books.run()
    true = books.sim.book.charged()[upstream_id]
    await books.change("UPDATE jobs SET cost_micro = $2 WHERE id = $1", job_id, true + 1)
    assert (await books.reconcile()).result is Result.DIFFERS
    for found in (1, 0):
        [one] = await books.open()
        assert (one["kind"], one["job_id"], one["upstream_id"]) == ("cost", job_id, upstream_id)
        assert (one["ours"], one["theirs"], one["tenant"]) == (
            credits(true + 1), credits(true), books.caller.tenant.name,
        )  # fmt: skip
        report = await books.reconcile()
        assert (report.tally.found, report.open) == (0, 1), f"the same row again: {found}"
    await books.change("UPDATE jobs SET cost_micro = $2 WHERE id = $1", job_id, true)
    report = await books.reconcile()
    assert (report.result, report.tally.settled) == (Result.AGREES, 1)
    await books.change("UPDATE jobs SET cost_micro = $2 WHERE id = $1", job_id, true + 2)
    await books.reconcile()
    assert len(await books.rows("SELECT FROM discrepancies")) == 1, "back again, it is the same row"
    assert [one["ours"] for one in await books.open()] == [credits(true + 2)]


async def test_a_cost_that_nobody_told_until_the_history_did(books: Books) -> None:
    """The tenant was charged the hold, and is given back what it was too much; once."""
    books.sim.set_faults(NO_COST)
    job_id, upstream_id = await books.run()
    before = await books.balance()
    assert before["posted"] == 100_000
    await books.reconcile()
    assert await named(books) == [("cost_unknown", upstream_id, job_id)]
    assert await books.balance() == before
    books.sim.set_faults()
    report = await books.reconcile()
    cost = books.sim.book.charged()[upstream_id]
    assert (report.result, report.tally.filled, report.tally.adjusted_micro) == (Result.AGREES, 1, 100_000 - cost)
    assert (await books.balance())["posted"] == cost
    job = await books.engine.get(job_id)
    assert (job["cost_micro"], job["charged_micro"]) == (cost, cost)
    [adjusted] = await books.rows("SELECT * FROM transfers WHERE kind = 'adjust'")
    assert (adjusted["job_id"], adjusted["amount"]) == (job_id, 100_000 - cost)
    [usage] = await books.rows("SELECT * FROM usage_hours")
    assert (usage["charged_micro"], usage["cost_micro"], usage["completed"]) == (cost, cost, 1)
    again = await books.reconcile()
    assert (again.tally.filled, len(await books.rows("SELECT FROM transfers WHERE kind = 'adjust'"))) == (0, 1)
    assert not await wrong(books.database)


@pytest.mark.parametrize(
    ("fields", "charged", "reasons"),
    [
        ({"price_rule": "fixed"}, 100_000, []),
        ({"markup_micro": 2_000_000}, 2, []),
        ({"held_micro": 5_000}, 5_000, ["cost_above_hold"]),
        ({"price_rule": "fixed", "held_micro": 5_000}, 5_000, ["cost_above_price"]),
    ],
)
async def test_what_a_cost_told_late_comes_to(
    books: Books, fields: dict[str, Any], charged: int, reasons: list[str]
) -> None:
    books.sim.set_faults(NO_COST)
    job_id, upstream_id = await books.run(**fields)
    books.sim.set_faults()
    await books.reconcile()
    cost = books.sim.book.charged()[upstream_id]
    job = await books.engine.get(job_id)
    assert job["cost_micro"] == cost
    assert job["charged_micro"] == (cost * charged if charged < 10 else charged)
    exposed = await books.rows("SELECT reason, amount FROM exposures")
    assert [(row["reason"], row["amount"]) for row in exposed] == [(reason, cost - charged) for reason in reasons]
    assert not await wrong(books.database)


async def test_a_request_that_is_not_ours(books: Books) -> None:
    await books.run()
    upstream_id = await books.send("sim-instant", b'{"prompt":"a dog"}')
    await books.reconcile()
    [one] = await books.open()
    assert (one["kind"], one["upstream_id"], one["job_id"], one["ours"]) == ("not_ours", upstream_id, None, None)
    assert (one["model"], one["theirs"]) == ("sim-instant", credits(books.sim.book.charged()[upstream_id]))
    assert await books.rows("SELECT FROM exposures") == []


async def test_a_second_start_is_exposed_once(books: Books) -> None:
    job_id, _ = await books.run()
    twin = await books.send()
    late = await books.send()
    await books.observe(job_id, late)
    for _ in range(2):
        await books.reconcile()
        assert await named(books) == [("second_start", twin, job_id)]
        charged = books.sim.book.charged()
        exposed = await books.rows("SELECT upstream_id, job_id, reason, amount FROM exposures ORDER BY id")
        assert {tuple(row) for row in exposed} == {
            (twin, job_id, "second_start", charged[twin]),
            (late, job_id, "second_start", charged[late]),
        }


async def test_a_start_that_fits_an_unknown_submission(books: Books) -> None:
    body = b'{"fps":"7","prompt":"a bird"}'
    [job_id] = await books.engine.submit(books.caller, model="motionctrl-svd", body=body)
    opened = await books.engine.open(await books.engine.claim(1))
    assert set(opened) == {job_id}
    books.sim.config.history_adds_defaults = True
    upstream_id = await books.send("motionctrl-svd", body)
    await books.reconcile()
    assert await named(books) == [("lost_start", upstream_id, job_id)]
    assert await books.rows("SELECT FROM exposures") == []


async def test_a_job_that_they_do_not_have(books: Books) -> None:
    job_id, upstream_id = await books.run()
    await books.change("UPDATE jobs SET upstream_id = 'f00d' WHERE id = $1", job_id)
    await books.reconcile()
    assert sorted(await named(books), key=str) == [
        ("missing", "f00d", job_id),
        ("second_start", upstream_id, job_id),
    ]
    await books.change("UPDATE jobs SET upstream_id = $2 WHERE id = $1", job_id, upstream_id)
    await books.reconcile()
    assert await named(books) == [("missing", "f00d", job_id)], "of this one nobody has told anything else"


async def test_a_history_that_lags(books: Books) -> None:
    """What is younger than it may lag is not judged; what lags longer is missing, until it lands."""
    books.sim.config.history_lag_seconds = 1000
    job_id, upstream_id = await books.run()
    report = await books.reconcile(settle_seconds=60)
    assert (report.result, report.tally.compared) == (Result.AGREES, 0)
    await books.reconcile()
    assert await named(books) == [("missing", upstream_id, job_id)]
    books.sim.config.history_lag_seconds = 0
    report = await books.reconcile()
    assert (report.result, report.tally.settled, report.tally.compared) == (Result.AGREES, 1, 2)


async def test_what_still_runs_is_not_judged(books: Books) -> None:
    await books.start("sim-hang")
    assert (await books.reconcile()).result is Result.AGREES


async def test_a_history_that_cannot_be_read(books: Books) -> None:
    await books.run()
    books.sim.set_faults({"match": "history", "fault": "answer", "status": 401})
    report = await books.reconcile()
    assert (report.result, report.detail) == (Result.INCOMPLETE, "the request history: http_401")
    assert report.tally.read_until is None
    books.sim.set_faults({"match": "credits", "fault": "answer", "status": 500})
    report = await books.reconcile()
    assert (report.result, report.detail) == (Result.INCOMPLETE, "the company's credits: http_500")
    assert (await books.reconcile(history=None)).tally.read_until is None


async def test_a_long_history_is_read_in_parts(books: Books) -> None:
    """A run stops at its bound; what it has read is compared, and nothing beyond is called missing."""
    for _ in range(12):
        await books.run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.upstream.history.PAGE_SIZES", (5, 1))
        report = await books.reconcile(rows_max=5)
    assert report.result is Result.CUT
    assert report.tally.read_until is not None
    assert report.run.since < report.tally.read_until < report.run.until
    assert report.tally.compared == 5
    assert await books.open() == []


async def test_it_lacks_too_many(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.reconciliation.tasks.run.ABSENT_MAX", 2)
    for _ in range(3):
        await books.run()
    books.sim.simulator.runs.clear()
    books.sim.simulator.timeline = Timeline()
    report = await books.reconcile()
    assert (report.result, report.detail) == (
        Result.INCOMPLETE, "the request history: more than 2 of our requests are missing in it",
    )  # fmt: skip
    assert await books.open() == []
