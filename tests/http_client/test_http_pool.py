"""Which connections are used again, how many there are at once, and that none is ever left behind."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
import uvloop

from app.core.config.settings import split_networks
from app.http_client.guard import Guard
from tests.doubles.raw_server import Peer, RawServer, answer, hang_after, in_full, raw_server
from tests.gateway import eventually
from tests.http_client.callers import Http, calling

OK = answer(b"hello")


async def serve_for_ever(peer: Peer) -> None:
    while await peer.request():
        await peer.send(OK)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(serve_for_ever) as running:
        yield running


async def has(http: Http, *, busy: int, idle: int) -> bool:
    return (http.busy, http.idle) == (busy, idle)


async def peers(server: RawServer, number: int) -> bool:
    return len(server.peers) == number


async def test_a_connection_is_used_again(server: RawServer) -> None:
    async with calling(server.url) as http:
        for _ in range(10):
            await http.get()
        assert http.idle == 1
    assert len(server.peers) == 1


async def test_a_fresh_one_is_not(server: RawServer) -> None:
    async with calling(server.url, keep_alive=False) as http:
        for _ in range(4):
            await http.get()
        assert http.idle == 0
    assert len(server.peers) == 4
    assert server.received.lower().count(b"connection: close") == 4


@pytest.mark.parametrize("header", ["connection: close", "Connection: Close"])
async def test_a_server_that_means_to_close_is_believed(header: str) -> None:
    async with raw_server(in_full(answer(b"hello", "200 OK", header))) as server, calling(server.url) as http:
        for _ in range(2):
            assert (await http.get()).body == b"hello"
        assert http.idle == 0
    assert len(server.peers) == 2


@pytest.mark.parametrize("excess", [OK, b"HTTP/1.1 500 No\r\n\r\n", b"\0", b"x" * 100])
async def test_bytes_after_an_answer_spoil_the_connection(excess: bytes) -> None:
    """But not the answer: aiohttp alone would lose it where they are no HTTP."""
    async with raw_server(in_full(OK + excess)) as server, calling(server.url) as http:
        for _ in range(2):
            called = await http.get()
            assert (called.sent, called.body, called.failure) == (True, b"hello", None)
        assert http.idle == 0
    assert len(server.peers) == 2


async def test_an_answer_to_nothing_spoils_an_idle_connection() -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await asyncio.sleep(0.02)
        await peer.send(answer(b"somebody else's"))
        await peer.until_client_leaves()

    async with raw_server(talk) as server, calling(server.url) as http:
        assert (await http.get()).body == b"hello"
        await asyncio.sleep(0.05)
        assert (await http.get()).body == b"hello"
    assert len(server.peers) == 2


@pytest.mark.parametrize("reset", [False, True])
async def test_an_end_that_only_the_kernel_knows_of_is_noticed(reset: bool) -> None:
    """The server leaves while our loop is busy with something else: the next request must not go there."""

    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        loop = asyncio.get_running_loop()
        # Closed in the same turn of the loop in which the client wakes up and sends again, before the loop looks
        loop.call_soon(peer.reset if reset else peer.writer.transport.abort)

    async with raw_server(once) as server, calling(server.url) as http:
        for _ in range(50):
            assert (await http.get()).body == b"hello"
    assert len(server.peers) == 50


async def test_idle_connections_that_servers_close_at_random_cost_no_exchange() -> None:
    async def fickle(peer: Peer) -> None:
        while await peer.request():
            await peer.send(OK)
            if random.random() < 0.3:
                return

    async with raw_server(fickle) as server, calling(server.url) as http:
        for _ in range(300):
            await asyncio.sleep(random.choice([0, 0.001]))
            assert (await http.get()).body == b"hello"
    assert len(server.peers) > 10


async def test_an_idle_connection_expires(server: RawServer) -> None:
    async with calling(server.url, idle_seconds=0.05) as http:
        await http.get()
        await eventually(partial(has, http, busy=0, idle=0))
        await http.get()
    assert len(server.peers) == 2


async def test_the_limit_holds_and_the_line_is_served_in_order() -> None:
    on = most = 0

    async def count(peer: Peer) -> None:
        nonlocal on, most
        while await peer.request():
            on += 1
            most = max(most, on)
            await asyncio.sleep(0.002)
            on -= 1
            await peer.send(OK)

    order: list[int] = []

    async def get(http: Http, number: int) -> None:
        assert (await http.get()).body == b"hello"
        order.append(number)

    async with raw_server(count) as counting, calling(counting.url, connections_max=3) as http:
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(get(http, number))
        assert (http.busy, http.idle) == (0, 3)
    assert most == 3
    assert len(counting.peers) == 3
    assert all(abs(number - place) < 6 for place, number in enumerate(order))


async def test_a_turn_given_to_one_who_leaves_goes_to_the_next() -> None:
    async with raw_server(hang_after()) as server, calling(server.url, connections_max=1) as http:
        tasks = [asyncio.create_task(http.get()) for _ in range(3)]
        await eventually(partial(peers, server, 1))
        tasks[0].cancel()  # its turn passes to the second …
        tasks[1].cancel()  # … who leaves in the same breath
        await eventually(partial(peers, server, 2))
        assert http.busy == 1
        tasks[2].cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        assert http.busy == 0


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"])
async def test_closing_the_caller_ends_what_is_on(begun: bytes) -> None:
    async with raw_server(hang_after(begun)) as server, calling(server.url) as http:
        task = asyncio.create_task(http.get())

        async def received() -> bool:
            return server.received != b""

        await eventually(received)
        await asyncio.sleep(0.05)
        await http.caller.close()
        called = await asyncio.wait_for(task, 30)
        assert called.sent
        assert called.failure is not None


@pytest.mark.parametrize("waits_for", ["name", "tls", "turn"])
async def test_closing_the_caller_ends_what_waits_for_a_connection(waits_for: str) -> None:
    """As a call that was not sent: aiohttp alone would cancel the task, or wait on."""
    asked = asyncio.Event()

    async def lookup(host: str, port: int) -> Sequence[str]:
        asked.set()
        if waits_for == "name":
            await asyncio.sleep(60)
        return ["127.0.0.1"]

    guard = Guard(split_networks("127.0.0.0/8"), lookup=lookup)
    async with raw_server(hang_after()) as server:
        url = f"{'https' if waits_for == 'tls' else 'http'}://inside.test:{server.port}"
        async with calling(url, guard=guard, connections_max=1) as http:
            tasks = [asyncio.create_task(http.post()) for _ in range(2)]
            await asyncio.wait_for(asked.wait(), 30)
            if waits_for != "name":
                await eventually(partial(peers, server, 1))
            await http.caller.close()
            called = await asyncio.wait_for(asyncio.gather(*tasks), 20)
            called.append(await http.post())
    ends = [(one.sent, one.failure) for one in called[waits_for == "turn" :]]
    assert ends == [(False, "closed_before_send")] * len(ends)


async def test_an_error_that_is_not_of_the_network_ends_a_call_that_was_not_sent() -> None:
    """Such as a process without a thread to spare for a name."""

    async def lookup(host: str, port: int) -> Sequence[str]:
        raise RuntimeError("can't start new thread")

    async with calling("http://inside.test", guard=Guard(lookup=lookup)) as http:
        called = await http.post()
    assert (called.sent, called.failure) == (False, "connect_failed")


async def test_the_addresses_dialled_can_be_chosen(server: RawServer) -> None:
    asked: list[tuple[str, int]] = []

    async def lookup(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.99", "127.0.0.1"] if host == "inside.test" else []

    guard = Guard(split_networks("127.0.0.0/8"), lookup=lookup)
    async with calling(f"http://inside.test:{server.port}", guard=guard) as http:
        assert (await http.get()).body == b"hello"
    async with calling("http://outside.test", guard=guard) as http:
        called = await http.get()
        assert (called.sent, called.failure) == (False, "dns_failed")
    assert asked == [("inside.test", server.port), ("outside.test", 80)]
    assert f"inside.test:{server.port}".encode() in server.received


async def chaos(seed: int) -> tuple[int, int]:
    """300 requests to a server that does anything, a third of them cancelled; what is left: busy, and idle over 8."""
    dice = random.Random(seed)

    async def anything(peer: Peer) -> None:
        while await peer.request():
            await asyncio.sleep(dice.random() * 0.005)
            match dice.randrange(6):
                case 0:
                    return
                case 1:
                    peer.reset()
                    return
                case 2:
                    await peer.send(OK[: dice.randrange(len(OK))])
                    return
                case 3:
                    await peer.send(OK + OK)
                case _:
                    await peer.send(OK)

    async def one(http: Http, url: str) -> None:
        try:
            async with asyncio.timeout(dice.choice([0.002, 0.005, 3])):
                called = await http.get()
                assert called.failure is not None or called.body == b"hello"
        except TimeoutError:
            return

    async with raw_server(anything) as server, calling(server.url, connections_max=8) as http:
        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(one(http, server.url))
        await asyncio.sleep(0.01)
        return http.busy, max(0, http.idle - 8)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_nothing_is_left_behind(seed: int) -> None:
    assert await chaos(seed) == (0, 0)


def test_the_same_on_the_loop_that_production_runs_on() -> None:
    assert uvloop.run(chaos(7)) == (0, 0)
