"""Which connections are used again, how many there are at once, and that none is ever left behind."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from functools import partial

import pytest
import uvloop

from app.core.http import Client, ExchangeError, MayHaveArrived, NotSent, open_client, pool_of
from app.core.http_pool import Resolve
from tests.doubles.raw_server import Peer, RawServer, answer, hang_after, in_full, raw_server
from tests.gateway import eventually

OK = answer(b"hello")


def client(
    *,
    connections_max: int = 4,
    keep_alive: bool = True,
    idle_seconds: float = 15,
    wait_seconds: float = 30,
    resolve: Resolve | None = None,
) -> Client:
    return open_client(
        connections_max=connections_max,
        keep_alive=keep_alive,
        connect_seconds=30,
        read_seconds=30,
        total_seconds=60,
        wait_seconds=wait_seconds,
        idle_seconds=idle_seconds,
        body_bytes_max=10_000,
        resolve=resolve,
    )


async def serve_for_ever(peer: Peer) -> None:
    while await peer.request():
        await peer.send(OK)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with raw_server(serve_for_ever) as running:
        yield running


async def has(http: Client, *, busy: int, idle: int) -> bool:
    return (pool_of(http).busy, pool_of(http).idle) == (busy, idle)


async def peers(server: RawServer, number: int) -> bool:
    return len(server.peers) == number


async def test_a_connection_is_used_again(server: RawServer) -> None:
    async with client() as http:
        for _ in range(10):
            await http.get(server.url)
        assert pool_of(http).idle == 1
    assert len(server.peers) == 1


async def test_a_fresh_one_is_not(server: RawServer) -> None:
    async with client() as http:
        for _ in range(3):
            await http.get(server.url, extensions={"fresh": True})
        assert pool_of(http).idle == 0
    async with client(keep_alive=False) as http:
        await http.get(server.url)
    assert len(server.peers) == 4
    assert server.received.count(b"connection: close") == 4


@pytest.mark.parametrize("header", ["connection: close", "Connection: Close"])
async def test_a_server_that_means_to_close_is_believed(header: str) -> None:
    async with raw_server(in_full(answer(b"hello", "200 OK", header))) as server, client() as http:
        for _ in range(2):
            assert (await http.get(server.url)).content == b"hello"
        assert pool_of(http).idle == 0
    assert len(server.peers) == 2


@pytest.mark.parametrize("excess", [OK, b"\0", b"HTTP/1.1 500 No\r\n\r\n", b"x" * 100])
async def test_bytes_after_an_answer_spoil_the_connection_not_the_answer(excess: bytes) -> None:
    async with raw_server(in_full(OK + excess)) as server, client() as http:
        for _ in range(2):
            assert (await http.get(server.url)).content == b"hello"
        assert pool_of(http).idle == 0
    assert len(server.peers) == 2


async def test_an_answer_to_nothing_spoils_an_idle_connection() -> None:
    async def talk(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await asyncio.sleep(0.02)
        await peer.send(answer(b"somebody else's"))
        await peer.until_client_leaves()

    async with raw_server(talk) as server, client() as http:
        assert (await http.get(server.url)).content == b"hello"
        await asyncio.sleep(0.05)
        assert (await http.get(server.url)).content == b"hello"
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

    async with raw_server(once) as server, client() as http:
        for _ in range(50):
            assert (await http.get(server.url)).content == b"hello"
    assert len(server.peers) == 50


async def test_idle_connections_that_servers_close_at_random_cost_no_exchange() -> None:
    async def fickle(peer: Peer) -> None:
        while await peer.request():
            await peer.send(OK)
            if random.random() < 0.3:
                return

    async with raw_server(fickle) as server, client() as http:
        for _ in range(300):
            await asyncio.sleep(random.choice([0, 0.001]))
            assert (await http.get(server.url)).content == b"hello"
    assert len(server.peers) > 10


async def test_an_idle_connection_expires(server: RawServer) -> None:
    async with client(idle_seconds=0.05) as http:
        await http.get(server.url)
        await eventually(partial(has, http, busy=0, idle=0))
        await http.get(server.url)
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

    async def get(http: Client, number: int) -> None:
        assert (await http.get(counting.url)).content == b"hello"
        order.append(number)

    async with raw_server(count) as counting, client(connections_max=3) as http:
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(get(http, number))
        assert (pool_of(http).busy, pool_of(http).idle) == (0, 3)
    assert most == 3
    assert len(counting.peers) == 3
    assert all(abs(number - place) < 6 for place, number in enumerate(order))


async def test_idle_connections_to_another_server_make_room(server: RawServer) -> None:
    async with raw_server(serve_for_ever) as other, client(connections_max=2) as http:
        await asyncio.gather(http.get(server.url), http.get(server.url))
        await asyncio.gather(http.get(other.url), http.get(other.url))
        assert pool_of(http).idle == 2
    assert (len(server.peers), len(other.peers)) == (2, 2)


async def test_a_turn_given_to_one_who_leaves_goes_to_the_next() -> None:
    async with raw_server(hang_after()) as server, client(connections_max=1) as http:
        tasks = [asyncio.create_task(http.get(server.url)) for _ in range(3)]
        await eventually(partial(peers, server, 1))
        tasks[0].cancel()  # its turn passes to the second …
        tasks[1].cancel()  # … who leaves in the same breath
        await eventually(partial(peers, server, 2))
        assert pool_of(http).busy == 1
        tasks[2].cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        assert pool_of(http).busy == 0


async def test_closing_the_client_ends_what_is_on() -> None:
    async with raw_server(hang_after()) as server:
        http = client()
        task = asyncio.create_task(http.get(server.url))

        async def received() -> bool:
            return server.received != b""

        await eventually(received)
        await http.aclose()
        with pytest.raises(MayHaveArrived):
            await asyncio.wait_for(task, 60)
        assert pool_of(http).busy == 0


async def test_the_addresses_dialled_can_be_chosen(server: RawServer) -> None:
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.99", "127.0.0.1"] if host == "inside.test" else []

    async with client(resolve=resolve) as http:
        assert (await http.get(f"http://inside.test:{server.port}/")).content == b"hello"
        with pytest.raises(NotSent, match="dns_failed"):
            await http.get("http://outside.test/")
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

    async def one(http: Client, url: str) -> None:
        try:
            async with asyncio.timeout(dice.choice([0.002, 0.005, 3])):
                assert (await http.get(url)).content == b"hello"
        except (ExchangeError, TimeoutError):
            return

    async with raw_server(anything) as server, client(connections_max=8) as http:
        async with asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(one(http, server.url))
        await asyncio.sleep(0.01)
        return pool_of(http).busy, max(0, pool_of(http).idle - 8)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_nothing_is_left_behind(seed: int) -> None:
    assert await chaos(seed) == (0, 0)


def test_the_same_on_the_loop_that_production_runs_on() -> None:
    assert uvloop.run(chaos(7)) == (0, 0)
