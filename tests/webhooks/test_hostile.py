"""Receivers that mean harm, or might as well: their slot is free again in time, memory stays flat, others are not delayed."""

import asyncio
import gzip
import os
import random
import resource
from collections.abc import Awaitable, Callable, Sequence

import pytest
import uvloop

from app.core.config.settings import split_networks
from app.http_client.guard import Guard
from app.webhooks.claims import claim_deliveries
from app.webhooks.delivery import deliver
from app.webhooks.delivery.sender import TOTAL_SECONDS, Attempted, Sender
from app.webhooks.models import AttemptOutcome
from tests.doubles.raw_server import Peer, answer, in_full, raw_server
from tests.doubles.receiver import Received, receiving
from tests.factories.callers import Caller, make_caller
from tests.factories.hooks import Hooks
from tests.stopwatch import Stopwatch

SECONDS = 1.5
HANG_SECONDS = 60.0
"""For what ends by itself: on a busy machine it may take a while."""
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


BOMB = gzip.compress(b"\0" * 50_000_000)


async def gzip_bomb(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB) + BOMB)
    await peer.until_client_leaves()


async def attempt(harm: Harm, *, total_seconds: float = SECONDS) -> tuple[Attempted, float, float]:
    """What came of it, and how long it took: by the clock, and without waiting for the machine."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await harm(peer)

    async with raw_server(script) as server:
        sender = Sender(Guard(split_networks("127.0.0.0/8")), total_seconds=total_seconds)
        watch = Stopwatch()
        attempted = await sender.post(server.url, headers={"webhook-id": "evt_1"}, body=b"{}")
        seconds = watch.seconds, watch.own_seconds
        await sender.close()
        return attempted, *seconds


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
    total_seconds = SECONDS if outcome is AttemptOutcome.TIMED_OUT else HANG_SECONDS
    attempted, _, own_seconds = await attempt(harm, total_seconds=total_seconds)
    assert attempted.outcome is outcome
    assert own_seconds < SECONDS + 0.5
    assert len(attempted.answer or b"") <= 4096


def peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def test_memory_stays_flat() -> None:
    await attempt(ten_gigabytes)
    before = peak_kilobytes()
    for harm in (endless_body, ten_gigabytes, endless_headers):
        await asyncio.gather(*(attempt(harm) for _ in range(20)))
    assert peak_kilobytes() - before < 96 * 1024  # the senders of all these bytes live in this process, too


@pytest.mark.slow
@pytest.mark.parametrize("harm", [headers_by_the_byte, body_by_the_byte])
async def test_fifteen_seconds_are_fifteen_seconds(harm: Harm) -> None:
    attempted, seconds, own_seconds = await attempt(harm, total_seconds=TOTAL_SECONDS)
    assert attempted.outcome is AttemptOutcome.TIMED_OUT
    assert seconds > 14.5
    assert own_seconds < 15.5


async def test_attempts_at_once_are_judged_each_by_its_own_address() -> None:
    """They share a session; whose name is looked up, and which address is dialled, is told apart."""

    async def lookup(host: str, _port: int) -> Sequence[str]:
        number = int(host.split(".")[0])
        await asyncio.sleep(random.random() / 20)
        return [f"127.0.0.{number}" if number % 2 else f"10.0.0.{number}"]

    async with raw_server(in_full(answer()), host="0.0.0.0") as server:
        sender = Sender(Guard(split_networks("127.0.0.0/8"), lookup=lookup))
        urls = [f"http://{number}.test:{server.port}/" for number in range(2, 42)]
        found = await asyncio.gather(*(sender.post(url, headers={}, body=b"{}") for url in urls))
        await sender.close()
    for number, attempted in enumerate(found, 2):
        if number % 2:
            assert (attempted.outcome, attempted.address) == (AttemptOutcome.DELIVERED, f"127.0.0.{number}")
        else:
            assert attempted.outcome is AttemptOutcome.FORBIDDEN
            assert attempted.detail.startswith(f"address 10.0.0.{number} is not allowed")
    assert len(server.peers) == 20
    assert server.received.lower().count(b"accept-encoding: identity") == 20


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_receiver_that_resets_each_connection_at_once_is_unreachable(run: Callable[..., list[Attempted]]) -> None:
    async def resetting(peer: Peer) -> None:
        peer.reset()

    async def attempts() -> list[Attempted]:
        async with raw_server(resetting) as server:
            sender = Sender(Guard(split_networks("127.0.0.0/8")))
            found = await asyncio.gather(*(sender.post(server.url, headers={}, body=b"{}") for _ in range(100)))
            await sender.close()
            return found

    assert {attempted.outcome for attempted in run(attempts())} == {AttemptOutcome.UNREACHABLE}


async def test_a_black_hole_takes_no_more_than_its_slots(
    hooks: Hooks, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`bench/webhooks.py` measures it in figures: nobody is kept from a slot by who never answers."""
    monkeypatch.setattr(deliver, "SLOTS", 40)

    async def never(_received: Received, peer: Peer) -> None:
        await peer.until_client_leaves()

    async with receiving(never) as hole, receiving() as live, hooks.running():
        await hooks.endpoint(caller, hole.url)
        await hooks.emit(caller, 200)
        await hole.until(4)
        await hooks.endpoint(caller, live.url)
        await hooks.emit(caller, 100)
        watch = Stopwatch()
        await live.until(100)
        assert watch.own_seconds < 5
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
        async with hooks.database.statement() as session:
            rows = await claim_deliveries(session, owner=hooks.owner, deliveries_max=256)
        assert len(rows) == 64
        assert len({row.target_id for row in rows}) == 50
        async with hooks.database.statement() as session:
            assert await claim_deliveries(session, owner=hooks.owner, deliveries_max=256) == []
        other = await make_caller(hooks.database)
        await hooks.endpoint(other, live.url)
        await hooks.emit(other, 1)
        async with hooks.database.statement() as session:
            assert len(await claim_deliveries(session, owner=hooks.owner, deliveries_max=256)) == 1
