"""Bad days of the upstream, and what becomes of a lost answer on each of them. The outcomes are declared in docs/0019.

The simulator's book says what really happened: no submit is repeated on any of these days.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest

from app.simulator.config import SimulatorConfig
from tests.gateway import UPSTREAM_KEY, Gateway, ended, eventually
from tests.resolution.lost import (
    LOST,
    NEVER,
    SETTLE_SECONDS,
    assert_verified,
    attempt,
    caller,
    losing_gateway,
    submit,
    until_unknown,
    uuid,
)
from tests.servers import Urls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WITNESSES = 25
"""Submits that are accepted after an attempt: a proof of its absence needs twenty."""


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with losing_gateway(servers, redis_url, tmp_path_factory.mktemp("lost")) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
async def nothing_was_late(gateway: Gateway) -> None:
    """One test's late rows do not make the proofs of the next one wait."""
    await gateway.sql("DELETE FROM late_requests")


@contextlib.asynccontextmanager
async def upstream(gateway: Gateway, **changes: Any) -> AsyncIterator[None]:
    """Settings of the simulator for a while; then the defaults again."""
    await gateway.configure_upstream(**changes)
    try:
        yield
    finally:
        defaults = SimulatorConfig(speed=1000.0)
        await gateway.configure_upstream(**{name: getattr(defaults, name) for name in changes})


async def lost(gateway: Gateway, client: httpx.AsyncClient, model: str, *also: Mapping[str, Any]) -> str:
    """A job whose submit was accepted and whose answer was lost. `also`: rules that stay in force until it is unknown."""
    async with gateway.faults({**LOST, "slug": model}, *also):
        job = await submit(client, model, {"prompt": "a lake", "seed": 7})
        await until_unknown(gateway, job)
    return job


async def assert_adopted(gateway: Gateway, client: httpx.AsyncClient, job: str, *, status: str = "COMPLETED") -> None:
    """The job has ended with the result of its own request, which was started once."""
    shown = await ended(client, job)
    assert shown["status"] == status, shown
    assert (await attempt(gateway, job))["resolution"] == "adopted"
    [row] = await gateway.sql("SELECT model, upstream_id, cost_micro, charged_micro FROM jobs WHERE id = $1", uuid(job))
    started = [fact for fact in gateway.book.facts("started") if fact["slug"] == row["model"]]
    assert [fact["request_id"] for fact in started] == [row["upstream_id"]]
    if status == "COMPLETED":
        assert gateway.book.charged()[row["upstream_id"]] == row["cost_micro"]


async def bear_witness(client: httpx.AsyncClient) -> None:
    """Submits that are accepted and shown in the history."""
    for number in range(WITNESSES):
        await submit(client, "sim-instant", {"number": number})


async def settle(gateway: Gateway, job: str) -> None:
    """Wait until the history has been read late enough for a proof about this job."""
    [sent] = await gateway.sql("SELECT sent_at FROM attempts WHERE job_id = $1", uuid(job))

    async def read() -> bool:
        [watch] = await gateway.sql(
            "SELECT read_at > $1::timestamptz + make_interval(secs => $2) AS late_enough FROM history_watch",
            sent["sent_at"], 3 * SETTLE_SECONDS,
        )  # fmt: skip
        return bool(watch["late_enough"])

    await eventually(read)


async def assert_waits(gateway: Gateway, job: str) -> None:
    """Neither adopted nor proven absent."""
    [row] = await gateway.sql("SELECT state FROM jobs WHERE id = $1", uuid(job))
    found = await attempt(gateway, job)
    assert (row["state"], found["resolution"]) == ("unknown", None)


async def assert_times_out(gateway: Gateway, client: httpx.AsyncClient, job: str) -> None:
    """It ends free when its time is up."""
    await gateway.sql("UPDATE jobs SET due_at = now() WHERE id = $1", uuid(job))
    shown = await ended(client, job)
    assert (shown["status"], shown["error"]["code"]) == ("FAILED", "submission_unknown")
    assert shown["credits"]["charged"] == shown["credits"]["held"] == "0.000000"
    assert (await attempt(gateway, job))["resolution"] == "timed_out"


@pytest.mark.parametrize(
    "bodies",
    [
        {"history_body": "string"},
        {"history_numbers_as_strings": True},
        {"history_body": "string", "history_numbers_as_strings": True, "history_adds_defaults": True},
    ],
    ids=["string", "numbers", "all"],
)
async def test_bodies_are_rewritten(gateway: Gateway, bodies: dict[str, Any]) -> None:
    """Adopted: the values are the same however they are spelled."""
    async with caller(gateway) as client, upstream(gateway, **bodies):
        model = "rewritten-" + "-".join(sorted(bodies)).replace("_", "-")
        await assert_adopted(gateway, client, await lost(gateway, client, model))
    await assert_verified(gateway)


async def test_the_added_default_is_what_somebody_else_has_sent(gateway: Gateway) -> None:
    """Without a schema, whether a member was added is not certain: nobody gets a request that fits a known one better."""
    async with caller(gateway) as client, caller(gateway) as other, upstream(gateway, history_adds_defaults=True):
        whole = {"prompt": "a lake", "seed": 7, "base64": False}
        assert (await ended(other, await submit(other, "sent-whole", whole)))["status"] == "COMPLETED"
        job = await lost(gateway, client, "sent-whole")
        await bear_witness(client)
        await settle(gateway, job)
        await assert_waits(gateway, job)
        await assert_times_out(gateway, client, job)
    await assert_verified(gateway)


async def test_thousands_of_requests_around_a_lost_one(gateway: Gateway) -> None:
    """It is compared with all of them, and adopted."""
    async with caller(gateway) as client, upstream(gateway, history_adds_defaults=True):
        job = await lost(gateway, client, "one-of-many")
        for at in range(0, 2500, 50):
            await asyncio.gather(*(submit(client, "one-of-many", {"number": at + n}) for n in range(50)))
        shown = await ended(client, job)
        assert shown["status"] == "COMPLETED"
        assert (await attempt(gateway, job))["resolution"] == "adopted"
    await assert_verified(gateway)


async def test_rows_without_bodies(gateway: Gateway) -> None:
    """Never adopted, and nothing is proven about what such a row may be."""
    async with caller(gateway) as client, upstream(gateway, history_body="none"):
        accepted = await lost(gateway, client, "no-body")
        async with gateway.faults({**NEVER, "slug": "no-body", "count": 1}):
            never = await submit(client, "no-body", {"prompt": "a hill"})
            await until_unknown(gateway, never)
        await bear_witness(client)
        await settle(gateway, never)
        for job in (accepted, never):
            await assert_waits(gateway, job)
            await assert_times_out(gateway, client, job)
    await assert_verified(gateway)


async def test_a_row_for_each_output(gateway: Gateway) -> None:
    """Adopted once, and charged once."""
    async with caller(gateway) as client:
        await assert_adopted(gateway, client, await lost(gateway, client, "sim-images"))
    await assert_verified(gateway)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503, "error": "maintenance"},
        {"status": 502, "html": True},
        {"status": 200, "body": '{"data": "none today"}'},
    ],
    ids=["503", "502", "unreadable"],
)
async def test_a_history_that_is_down_for_a_moment(gateway: Gateway, answer: dict[str, Any]) -> None:
    """The read is repeated, and the request adopted."""
    down = {"match": "history", "fault": "answer", "nth": 1, "count": 2, **answer}
    async with caller(gateway) as client:
        model = f"down-{answer['status']}"
        async with gateway.faults({**LOST, "slug": model}, down):
            await assert_adopted(gateway, client, await submit(client, model, {"prompt": "a lake"}))
    await assert_verified(gateway)


async def test_a_history_that_stays_down(gateway: Gateway) -> None:
    """Nothing is decided without it; the first read after it is back decides."""
    worker = next(process for process in gateway.processes if "worker" in process.log.name)
    told = worker.log.read_text().count("resolve.history_unreadable")
    async with caller(gateway) as client:
        async with gateway.faults(
            {**LOST, "slug": "stays-down"}, {"match": "history", "fault": "answer", "status": 500}
        ):
            job = await submit(client, "stays-down", {"prompt": "a lake"})
            await until_unknown(gateway, job)

            async def unreadable() -> bool:
                return worker.log.read_text().count("resolve.history_unreadable") > told

            await eventually(unreadable)
            await assert_waits(gateway, job)
        await assert_adopted(gateway, client, job)
    await assert_verified(gateway)


async def test_a_history_with_a_limit_of_its_own(gateway: Gateway) -> None:
    """A read that is answered 429 is repeated; what is submitted and polled meanwhile is not slowed down by it."""
    async with (
        caller(gateway) as client,
        upstream(gateway, history_rpm=1, rate_window_seconds=5.0, rate_kind="fixed_minute"),
    ):
        jobs = [await lost(gateway, client, f"paced-{number}") for number in range(3)]
        other = await ended(client, await submit(client, "sim-instant", {"number": 1}))
        assert other["status"] == "COMPLETED"
        for job in jobs:
            await assert_adopted(gateway, client, job)
    await assert_verified(gateway)


async def test_states_that_flap(gateway: Gateway) -> None:
    """Adopted; a running request that is QUEUED again is still running."""
    flap = {"match": "status", "slug": "flaps", "fault": "flap"}
    async with caller(gateway) as client, upstream(gateway, speed=10.0):
        job = await lost(gateway, client, "flaps")
        async with gateway.faults(flap):
            await assert_adopted(gateway, client, job)
    await assert_verified(gateway)


async def test_an_adopted_request_that_is_not_found_at_first(gateway: Gateway) -> None:
    """The upstream's records lag behind its own history: 404 is believed only after a while."""
    async with caller(gateway) as client, gateway.faults({**LOST, "slug": "not-yet"}):
        job = await submit(client, "not-yet", {"prompt": "a lake"})
        await until_unknown(gateway, job)
        async with gateway.faults({"match": "status", "slug": "not-yet", "fault": "not_found_until", "seconds": 8}):
            await assert_adopted(gateway, client, job)
    await assert_verified(gateway)


@pytest.mark.parametrize("offset_seconds", [600.0, -600.0])
async def test_clocks_that_are_ten_minutes_off(gateway: Gateway, offset_seconds: float) -> None:
    """The rows of our own requests show how far: what was accepted is adopted, what was not is proven absent."""
    name = "fast" if offset_seconds > 0 else "slow"
    async with caller(gateway) as client, upstream(gateway, clock_offset_seconds=offset_seconds):
        accepted = await lost(gateway, client, f"clock-{name}")
        async with gateway.faults({**NEVER, "slug": f"clock-{name}-never"}):
            never = await submit(client, f"clock-{name}-never", {"prompt": "a lake"})
            await until_unknown(gateway, never)
        await bear_witness(client)
        await assert_adopted(gateway, client, accepted)
        shown = await ended(client, never)
        assert (shown["status"], shown["error"]["code"]) == ("FAILED", "submission_unknown")
        assert (await attempt(gateway, never))["resolution"] == "proven_absent"
    await assert_verified(gateway)


@pytest.mark.parametrize("status", [502, 504])
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "not_accepted"])
async def test_a_gateway_error_instead_of_an_answer(gateway: Gateway, status: int, accepted: bool) -> None:
    """It says nothing about what became of the submit; the history does."""
    model = f"gateway-{status}-{accepted}".lower()
    rule = {"match": "submit", "slug": model, "fault": "answer", "status": status, "html": True, "accepted": accepted}
    async with caller(gateway) as client:
        async with gateway.faults(rule):
            job = await submit(client, model, {"prompt": "a lake"})
            await until_unknown(gateway, job)
        if accepted:
            await assert_adopted(gateway, client, job)
        else:
            await bear_witness(client)
            shown = await ended(client, job)
            assert (shown["status"], shown["error"]["code"]) == ("FAILED", "submission_unknown")
            assert (await attempt(gateway, job))["resolution"] == "proven_absent"
            assert not [fact for fact in gateway.book.facts("started") if fact["slug"] == model]
    await assert_verified(gateway)


async def test_a_long_v1_call_of_somebody_else(gateway: Gateway) -> None:
    """It ran into the upstream's time limit and goes on. Its row is nobody's: not adopted, and it prevents proofs of its model."""
    async with caller(gateway) as client:
        async with gateway.faults({**NEVER, "slug": "long-call"}):
            job = await submit(client, "long-call", {"prompt": "a lake"})
            await until_unknown(gateway, job)
        async with upstream(gateway, sync_limit_seconds=0.05, speed=20.0), httpx.AsyncClient() as stranger:
            answer = await stranger.post(
                f"{gateway.upstream_url}/v1/long-call", json={"prompt": "a hill"}, timeout=60,
                headers={"x-api-key": UPSTREAM_KEY},
            )  # fmt: skip
            assert answer.status_code == 504
        await bear_witness(client)
        await settle(gateway, job)
        await assert_waits(gateway, job)
        await assert_times_out(gateway, client, job)
    await assert_verified(gateway)


@pytest.mark.parametrize("fails", [False, True], ids=["row_says_failed", "row_says_completed"])
async def test_a_row_that_contradicts_the_record(gateway: Gateway, fails: bool) -> None:
    """The row only names the request. Its record says how it ended."""
    async with (
        caller(gateway) as client,
        upstream(gateway, history_lies_probability=1.0, failure_probability=float(fails)),
    ):
        job = await lost(gateway, client, f"contradicts-{fails}".lower())
        await assert_adopted(gateway, client, job, status="FAILED" if fails else "COMPLETED")
        shown = await ended(client, job)
        assert (shown["credits"]["charged"] == "0.000000") == fails
        assert shown["error"] is None or shown["error"]["code"] != "submission_unknown"
    await assert_verified(gateway)


async def test_all_rows_are_late_by_more_than_the_settle_time(gateway: Gateway) -> None:
    """Our own accepted requests are missing, too, so nothing is proven; when the rows come, they are adopted."""
    async with caller(gateway) as client, upstream(gateway, history_lag_seconds=4 * SETTLE_SECONDS):
        job = await lost(gateway, client, "lags")
        await bear_witness(client)
        await asyncio.sleep(2 * SETTLE_SECONDS)
        await assert_waits(gateway, job)
        await assert_adopted(gateway, client, job)
    await assert_verified(gateway)
