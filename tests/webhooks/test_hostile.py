"""Receivers that mean harm, or might as well: their slot is free again in time, memory stays flat, others are not delayed."""

import asyncio
import gzip
import os
import resource
import statistics
from collections.abc import Awaitable, Callable

import pytest

from app.core import clock
from app.core.settings import split_networks
from app.webhooks.guard import Guard
from app.webhooks.models import AttemptOutcome
from app.webhooks.sender import TOTAL_SECONDS, Attempted, Sender
from app.webhooks.tasks import deliver
from tests.doubles.raw_server import Peer, raw_server
from tests.doubles.receiver import Received, receiving, says
from tests.factories.callers import Caller
from tests.factories.hooks import Hooks

SECONDS = 1.5
"""What an attempt may take here, in place of 15."""

Harm = Callable[[Peer], Awaitable[None]]


async def headers_by_the_byte(peer: Peer) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x-slow: yes\r\n" * 1000:
        await peer.send(bytes([byte]))
        await asyncio.sleep(0.1)


async def body_by_the_byte(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        await peer.send(b"x")
        await asyncio.sleep(0.1)


async def chunks_by_the_byte(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.1)


async def endless_headers(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"x-more: " + b"y" * 8000 + b"\r\n")


async def interim_answers(peer: Peer) -> None:
    while True:
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.05)


async def silence(peer: Peer) -> None:
    await peer.until_client_leaves()


async def not_http(peer: Peer) -> None:
    await peer.send(os.urandom(65536))


async def reset(peer: Peer) -> None:
    peer.reset()


async def endless_body(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        await peer.send(b"z" * 65536)


async def ten_gigabytes(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n")
    while True:
        await peer.send(b"z" * 65536)


async def gzip_bomb(peer: Peer) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb)
    await peer.until_client_leaves()


async def attempt(harm: Harm, *, total_seconds: float = SECONDS) -> tuple[Attempted, float]:
    async def script(peer: Peer) -> None:
        await peer.request()
        await harm(peer)

    async with raw_server(script) as server:
        sender = Sender(Guard(split_networks("127.0.0.0/8")), total_seconds=total_seconds)
        began_at = clock.monotonic()
        attempted = await sender.post(server.url, headers={"webhook-id": "evt_1"}, body=b"{}")
        return attempted, clock.monotonic() - began_at


@pytest.mark.parametrize(
    ("harm", "outcome"),
    [
        (headers_by_the_byte, AttemptOutcome.TIMED_OUT),
        (body_by_the_byte, AttemptOutcome.TIMED_OUT),
        (chunks_by_the_byte, AttemptOutcome.TIMED_OUT),
        (interim_answers, AttemptOutcome.TIMED_OUT),
        (silence, AttemptOutcome.TIMED_OUT),
        (endless_headers, AttemptOutcome.UNREACHABLE),
        (not_http, AttemptOutcome.UNREACHABLE),
        (reset, AttemptOutcome.UNREACHABLE),
        (endless_body, AttemptOutcome.DELIVERED),
        (ten_gigabytes, AttemptOutcome.DELIVERED),
        (gzip_bomb, AttemptOutcome.DELIVERED),
    ],
)
async def test_a_hostile_receiver_holds_its_slot_no_longer_than_allowed(harm: Harm, outcome: AttemptOutcome) -> None:
    attempted, seconds = await attempt(harm)
    assert attempted.outcome is outcome
    assert seconds < SECONDS + 0.5
    assert len(attempted.answer or b"") <= 4096


def peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def test_memory_stays_flat() -> None:
    await attempt(ten_gigabytes)
    before = peak_kilobytes()
    for harm in (endless_body, ten_gigabytes, endless_headers):
        await asyncio.gather(*(attempt(harm) for _ in range(20)))
    assert peak_kilobytes() - before < 48 * 1024  # the senders of all these bytes live in this process, too


@pytest.mark.slow
@pytest.mark.parametrize("harm", [headers_by_the_byte, body_by_the_byte])
async def test_fifteen_seconds_are_fifteen_seconds(harm: Harm) -> None:
    attempted, seconds = await attempt(harm, total_seconds=TOTAL_SECONDS)
    assert attempted.outcome is AttemptOutcome.TIMED_OUT
    assert 14.5 < seconds < 15.5


async def delays(hooks: Hooks, callers: list[Caller], number: int, beside: str | None) -> list[float]:
    """Seconds from an event to its POST at a live endpoint, with as many events to a black hole beside it or not."""
    live, dead = callers
    loop = asyncio.get_running_loop()
    emitted: dict[str, float] = {}
    arrived: dict[str, float] = {}

    async def note(received: Received, peer: Peer) -> None:
        arrived[received.id] = received.at
        await says("200 OK")(received, peer)

    async with receiving(note) as receiver, hooks.running():
        await hooks.endpoint(live, receiver.url)
        if beside is not None:
            await hooks.endpoint(dead, beside)
        for _ in range(number // 10):
            at = loop.time()
            if beside is not None:
                await hooks.emit(dead, 10)
            job_ids = await hooks.emit(live, 10)
            rows = await hooks.rows("SELECT id FROM webhook_events WHERE job_id = ANY ($1::uuid[])", job_ids)
            emitted |= {f"evt_{row['id'].hex}": at for row in rows}
            await asyncio.sleep(0.05)
        await receiver.until(number, seconds=60)
    await hooks.set("UPDATE webhook_endpoints SET deleted_at = now()")
    await hooks.set("UPDATE webhook_targets SET disabled_at = now(), disabled_reason = 'tenant'")
    return [arrived[event] - at for event, at in emitted.items()]


async def test_a_black_hole_takes_no_more_than_its_slots(
    hooks: Hooks, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of what `bench/webhooks.py` measures: nobody is kept from a slot by who never answers."""
    monkeypatch.setattr(deliver, "SLOTS", 40)

    async def never(_received: Received, peer: Peer) -> None:
        await peer.until_client_leaves()

    async with receiving(never) as hole, receiving() as live, hooks.running():
        await hooks.endpoint(caller, hole.url)
        await hooks.emit(caller, 200)
        await hole.until(4)
        await hooks.endpoint(caller, live.url)
        await hooks.emit(caller, 100)
        began_at = clock.monotonic()
        await live.until(100, seconds=10)
        assert clock.monotonic() - began_at < 5
        assert hole.open_most == 4


async def test_every_tenant_has_a_share_of_its_own(hooks: Hooks, caller: Caller) -> None:
    """However many dead receivers one tenant has."""
    async with receiving() as live:
        for number in range(50):
            target = f"http://127.0.0.{number + 1}:9/"
            await hooks.endpoint(caller, target)
        await hooks.emit(caller, 10)
        other_rows = await hooks.rows("SELECT count(*) AS number FROM webhook_deliveries")
        assert other_rows[0]["number"] == 500
        from app.webhooks.claims import claim_deliveries

        async with hooks.database.statement() as session:
            rows = await claim_deliveries(session, owner=hooks.owner, most=256)
        assert len(rows) == 64
        assert len({row["target_id"] for row in rows}) == 50
        async with hooks.database.statement() as session:
            assert await claim_deliveries(session, owner=hooks.owner, most=256) == []
        from tests.factories.callers import make_caller

        other = await make_caller(hooks.database)
        await hooks.endpoint(other, live.url)
        await hooks.emit(other, 1)
        async with hooks.database.statement() as session:
            assert len(await claim_deliveries(session, owner=hooks.owner, most=256)) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_beside_a_black_hole_a_live_endpoint_is_as_fast_as_alone(hooks: Hooks, caller: Caller) -> None:
    from tests.factories.callers import make_caller

    async def never(_received: Received, peer: Peer) -> None:
        await peer.until_client_leaves()

    def figures(values: list[float]) -> tuple[float, float]:
        return statistics.median(values), sorted(values)[int(0.99 * len(values))]

    alone, beside = [], []
    async with receiving(never) as hole:
        await delays(hooks, [caller, await make_caller(hooks.database)], 200, None)
        for _ in range(5):
            callers = [caller, await make_caller(hooks.database)]
            alone.append(figures(await delays(hooks, callers, 1000, None)))
            beside.append(figures(await delays(hooks, callers, 1000, hole.url)))
    p50, p99 = (statistics.median(b[at] / a[at] for a, b in zip(alone, beside, strict=True)) for at in (0, 1))
    print(f"p50 {p50:.2f} times, p99 {p99:.2f} times of alone; alone {alone}, beside {beside}")
    assert p50 <= 1.3
    assert p99 <= 2.0
