"""Steady clients are held for at most their own interval, and hear of the end at once."""

import asyncio
import contextlib
import itertools

import httpx
import pytest
from redis.asyncio import Redis

from app.core.ids import find_id, new_id, show_id
from app.segmind.decide import GONE
from app.segmind.steady import PREFIX, REDIS_SECONDS
from app.tenants.operations import create_key
from tests.doubles.forwarder import forwarding
from tests.gateway import LATER, SECRET, Gateway, TenantKey
from tests.stopwatch import Stopwatch

POLLS_MAX = 50


@pytest.fixture
async def parked(client: httpx.AsyncClient) -> str:
    """A job that stays queued."""
    body = {"model": "sim-instant", "input": {}, "not_before": LATER}
    return str((await client.post("/api/v1/jobs", json=body)).json()["id"])


async def polled(client: httpx.AsyncClient, job_id: str) -> tuple[httpx.Response, float]:
    watch = Stopwatch()
    answer = await client.get(f"/v2/requests/{job_id}/status")
    return answer, watch.own_seconds


async def test_from_the_third_poll_on_for_its_own_interval(client: httpx.AsyncClient, parked: str) -> None:
    own, held = [], 0
    for _ in range(POLLS_MAX):  # a client on a busy machine may need some until it has been steady
        watch = Stopwatch()
        answer, seconds = await polled(client, parked)
        assert answer.json()["status"] == "QUEUED"
        own.append(seconds)
        held += watch.seconds > 0.38
        if held == 2:
            break
        await asyncio.sleep(0.4)
    assert held == 2, own
    assert max(own[:2]) < 0.35, own
    assert max(own) < 0.8, own


@pytest.mark.slow
async def test_the_end_is_told_at_once(client: httpx.AsyncClient, parked: str) -> None:
    for _ in range(3):
        await polled(client, parked)
        await asyncio.sleep(1.5)
    poll = asyncio.create_task(polled(client, parked))
    await asyncio.sleep(0.3)
    assert not poll.done()
    watch = Stopwatch()
    assert (await client.post(f"/api/v1/jobs/{parked}/cancel")).status_code == 200
    answer, _ = await poll
    assert answer.status_code == 422
    assert answer.json()["code"] == "canceled"
    assert watch.own_seconds < 0.5


async def test_a_poll_after_the_end_is_not_held(client: httpx.AsyncClient, parked: str) -> None:
    await client.post(f"/api/v1/jobs/{parked}/cancel")
    for _ in range(4):
        answer, seconds = await polled(client, parked)
        assert answer.status_code == 422
        assert seconds < 0.25
        await asyncio.sleep(0.3)


async def test_two_processes_behind_a_balancer_hold_alike(stack: Gateway, tenant: TenantKey) -> None:
    async with contextlib.AsyncExitStack() as opened:
        one, other = [
            await opened.enter_async_context(httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=40))
            for url in stack.urls
        ]
        body = {"model": "sim-instant", "input": {}, "not_before": LATER}
        job_id = str((await one.post("/api/v1/jobs", json=body)).json()["id"])
        held = {one: 0, other: 0}
        for client in itertools.islice(itertools.cycle(held), POLLS_MAX):
            watch = Stopwatch()
            await polled(client, job_id)
            held[client] += watch.seconds > 0.38
            if min(held.values()) == 2:
                break
            await asyncio.sleep(0.4)
    assert min(held.values()) == 2


async def test_another_key_begins_anew(
    stack: Gateway, client: httpx.AsyncClient, parked: str, tenant: TenantKey
) -> None:
    async with stack.database.transaction() as session:
        _, text = await create_key(session, tenant_id=tenant.id, secret=SECRET.encode())
    for _ in range(3):
        await polled(client, parked)
        await asyncio.sleep(0.6)
    async with httpx.AsyncClient(base_url=stack.url, headers={"x-api-key": text}, timeout=40) as other:
        _, seconds = await polled(other, parked)
        assert seconds < 0.3


async def test_who_asks_again_during_a_hold_is_answered_at_once(client: httpx.AsyncClient, parked: str) -> None:
    """So a client whose own time-out is shorter than its interval gets its answer when it tries again."""
    for _ in range(POLLS_MAX):
        first = asyncio.create_task(polled(client, parked))
        await asyncio.sleep(0.5)
        held = not first.done()
        if held:
            again, seconds = await polled(client, parked)
            assert again.status_code == 200
            assert seconds < 0.4
            assert not first.done()
        await first
        if held:
            break
        await asyncio.sleep(1.5)
    assert held


async def test_who_hangs_up_during_a_hold_is_held_no_more(
    stack: Gateway, client: httpx.AsyncClient, parked: str
) -> None:
    job_id = find_id("job", parked)
    assert job_id is not None
    async with Redis.from_url(stack.redis_url) as redis:
        for _ in range(POLLS_MAX):
            with contextlib.suppress(httpx.ReadTimeout):
                await client.get(f"/v2/requests/{parked}/status", timeout=httpx.Timeout(40, read=0.5))
            await asyncio.sleep(1.5)
            keys = [key async for key in redis.scan_iter(f"{PREFIX}*:{job_id.hex}", count=1_000)]
            if any(str(GONE).encode() in stored.split() for stored in await redis.mget(PREFIX, *keys) if stored):
                break
        else:
            pytest.fail("it was never noticed")
    for _ in range(4):
        _, seconds = await polled(client, parked)
        assert seconds < 0.8
        await asyncio.sleep(1.5)


async def test_what_is_not_there_or_has_ended_does_not_ask_redis(
    stack: Gateway, tenant: TenantKey, client: httpx.AsyncClient, parked: str
) -> None:
    assert (await client.post(f"/api/v1/jobs/{parked}/cancel")).status_code == 200
    async with (
        forwarding(stack.redis_url) as between,
        stack.api(REDIS_URL=between.url) as url,
        httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=40) as other,
    ):
        between.hush()
        for job_id, status in ((parked, 422), (show_id("job", new_id()), 404)):
            answer, seconds = await polled(other, job_id)
            assert answer.status_code == status
            assert seconds < REDIS_SECONDS


@pytest.mark.slow
async def test_an_answer_does_not_wait_for_a_silent_redis(stack: Gateway, tenant: TenantKey) -> None:
    async with (
        forwarding(stack.redis_url) as between,
        stack.api(REDIS_URL=between.url) as url,
        httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=40) as client,
    ):
        body = {"model": "sim-instant", "input": {}, "not_before": LATER}
        job_id = str((await client.post("/api/v1/jobs", json=body)).json()["id"])
        for lose in (between.hush, between.cut):
            for _ in range(POLLS_MAX):  # until one is held
                watch = Stopwatch()
                await polled(client, job_id)
                if watch.seconds > 0.38:
                    break
                await asyncio.sleep(0.4)
            else:
                pytest.fail("none was held")
            lose()
            own = []
            for _ in range(6):
                answer, seconds = await polled(client, job_id)
                assert answer.status_code == 200
                own.append(seconds)
                await asyncio.sleep(0.4)
            assert max(own) < 0.35, own
            between.mend()
