"""kill -9 of workers: in mid-submit nothing is sent twice, in mid-poll another takes over."""

from collections.abc import AsyncIterator

import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove, settled
from tests.chaos.stack import LEASE_SECONDS, Plan, Stack, running, until, until_async
from tests.stopwatch import Stopwatch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ARRIVED, LOST = "chaos-arrived", "chaos-lost"


_HANGING = """
SELECT process.pid, count(*) AS n FROM attempts JOIN jobs ON jobs.id = attempts.job_id
JOIN processes AS process ON process.id = attempts.worker
WHERE attempts.outcome IS NULL AND jobs.model LIKE 'chaos-%' GROUP BY 1 ORDER BY 2
"""


async def _on_the_wire(stack: Stack, count: int) -> list[int]:
    """Wait until so many submits hang; the workers that wait for them, who has the most last."""
    pids: list[int] = []

    async def hanging() -> bool:
        rows = await stack.fetch(_HANGING)
        pids[:] = [row["pid"] for row in rows]
        return bool(sum(row["n"] for row in rows) == count)

    await until_async(hanging, f"{count} submits are on the wire")
    return pids


@pytest.fixture(scope="module")
async def whole() -> AsyncIterator[Stack]:
    async with running(Plan(workers=3, apis=1, settings={"UNKNOWN_MAX_SECONDS": "4"})) as stack:
        yield stack


async def test_a_submit_whose_worker_is_killed_is_unknown_and_never_sent_again(
    victim: Stack, load: Load, form: Form
) -> None:
    rounds = form.pick(1, 10)
    for _ in range(rounds):
        await assert_cut_submits_stay_unknown(victim, load)
    print(f"{12 * rounds} submits cut by kills of their workers: all unknown, none sent again")


async def assert_cut_submits_stay_unknown(stack: Stack, load: Load) -> None:
    await stack.working()
    await stack.faults(
        {"match": "submit", "slug": ARRIVED, "fault": "hang", "accepted": True},
        {"match": "submit", "slug": LOST, "fault": "hang", "accepted": False},
    )
    arrived = await load.submit_many(6, model=ARRIVED)
    lost = await load.submit_many(6, model=LOST)
    await load.submit_many(6)
    holders = await _on_the_wire(stack, 12)
    watch = Stopwatch()
    stack.kill_pid(holders[-1])  # the others find out that it is gone

    async def none_sending() -> bool:
        sql = "SELECT FROM attempts JOIN processes ON id = worker WHERE outcome IS NULL AND pid = $1"
        return not await stack.fetch(sql, holders[-1])

    seconds = await until_async(none_sending, "every submit that was cut is unknown")
    print(f"unknown after {seconds:.2f} s")
    assert watch.own_seconds < LEASE_SECONDS + 10, "a dead worker's submits must become unknown soon after its lease"
    for pid in holders[:-1]:
        stack.kill_pid(pid)
    await stack.faults()
    await settled(stack, unknown=False)
    await prove(stack, load)
    ids = [submit.request_id for submit in arrived + lost]
    rows = await stack.fetch("SELECT 'job_' || replace(id::text, '-', '') AS shown, error_code, attempt FROM jobs")
    told = {row["shown"]: (row["error_code"], row["attempt"]) for row in rows}
    assert {told[shown] for shown in ids} == {("submission_unknown", 1)}
    started = [fact for fact in stack.book().facts("started") if fact["slug"] in (ARRIVED, LOST)]
    markers = [submit.marker for submit in arrived]
    assert sum(fact["body"].count(marker) for fact in started for marker in markers) == len(arrived)


async def test_a_job_whose_worker_is_killed_in_mid_poll_is_taken_over(victim: Stack, load: Load, form: Form) -> None:
    rounds = form.pick(1, 10)
    for _ in range(rounds):
        await _kill_in_mid_poll(victim, load)
    figures = await prove(victim, load)
    print(f"{10 * rounds} polls and fetches cut by kills of their workers: all taken over")
    assert set(figures["states"]) == {"completed"}


async def _kill_in_mid_poll(stack: Stack, load: Load) -> None:
    await stack.working()
    await stack.faults(
        {"match": "status", "slug": "chaos-poll", "fault": "hang", "count": 5},
        {"match": "result", "slug": "chaos-fetch", "fault": "hang", "count": 5},
    )
    hung = _hung(stack)
    await load.submit_many(5, model="chaos-poll")
    await load.submit_many(5, model="chaos-fetch")
    await until(lambda: _hung(stack) == hung + 10, "ten polls and fetches hang")
    for pid in stack.pids("worker"):
        stack.kill_pid(pid)
    print(f"taken over and finished after {await settled(stack):.2f} s")


def _hung(stack: Stack) -> int:
    return sum(fact["kind"] in ("status", "result") for fact in stack.book().facts("fault"))
