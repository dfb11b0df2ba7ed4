"""The client against servers that misbehave byte by byte: what was sent, what came back, what is left behind."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx
import pytest

from app.core.http import (
    AnswerLost,
    AnswerMalformed,
    AnswerTimedOut,
    Client,
    ConnectFailed,
    ConnectTimedOut,
    ExchangeError,
    MayHaveArrived,
    NoFreeConnection,
    NotSent,
    RequestMalformed,
    SendTimedOut,
    open_client,
    pool_of,
)
from tests.doubles.raw_server import Peer, answer, cut_after, hang_after, in_full, raw_server, unused_port
from tests.gateway import eventually
from tests.pace import Stopwatch

OK = answer(b"hello")


@contextlib.asynccontextmanager
async def client(
    *,
    keep_alive: bool = True,
    connections_max: int = 4,
    connect_seconds: float = 30,
    read_seconds: float = 30,
    total_seconds: float = 60,
    wait_seconds: float | None = None,
    idle_seconds: float = 15,
    body_bytes_max: int = 10_000,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[Client]:
    made = open_client(
        connections_max=connections_max,
        keep_alive=keep_alive,
        connect_seconds=connect_seconds,
        read_seconds=read_seconds,
        total_seconds=total_seconds,
        wait_seconds=wait_seconds,
        idle_seconds=idle_seconds,
        body_bytes_max=body_bytes_max,
        ssl_context=ssl_context,
    )
    async with made:
        yield made
        assert pool_of(made).busy == 0, "an exchange left its connection behind"


BODIES = {
    "content-length": (OK, b"hello"),
    "empty": (answer(b""), b""),
    "chunked": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nx-late: 1\r\n\r\n",
        b"hello",
    ),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, b"hello"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b""),
}


@pytest.mark.parametrize(("raw", "body"), BODIES.values(), ids=BODIES)
async def test_a_well_formed_answer_is_read_and_its_connection_used_again(raw: bytes, body: bytes) -> None:
    async with raw_server(in_full(raw, raw)) as server, client() as http:
        for _ in range(2):
            got = await http.get(server.url)
            assert got.content == body
            assert "link" not in got.headers
    assert len(server.peers) == 1


@pytest.mark.parametrize(("raw", "body"), BODIES.values(), ids=BODIES)
async def test_an_answer_may_come_byte_by_byte(raw: bytes, body: bytes) -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        for at in range(len(raw)):
            await peer.send(raw[at : at + 1])
            await asyncio.sleep(0)
        await peer.until_client_leaves()

    async with raw_server(drip) as server, client() as http:
        assert (await http.get(server.url)).content == body


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with raw_server(cut_after(b"HTTP/1.1 200 OK\r\n\r\nhel" + b"lo")) as server, client() as http:
        assert (await http.get(server.url)).content == b"hello"
        assert (await http.get(server.url)).content == b"hello"
    assert len(server.peers) == 2


async def test_a_head_request_has_no_body() -> None:
    async with raw_server(in_full(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")) as server, client() as http:
        got = await http.head(server.url)
        assert (got.status_code, got.content) == (200, b"")
        assert pool_of(http).idle == 0


async def test_the_request_is_written_as_given() -> None:
    async with raw_server(in_full(OK)) as server, client() as http:
        url = f"{server.url}/v2/a%2Fb?x=1&y=%20"
        await http.post(url, content=b'{"a": 1e-400}', headers={"content-type": "application/json", "x-api-key": "k"})
    head, _, body = server.received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v2/a%2Fb?x=1&y=%20 HTTP/1.1"
    assert lines[1].lower() == f"host: 127.0.0.1:{server.port}".encode()
    assert {b"accept-encoding: identity", b"content-length: 13", b"connection: keep-alive"} <= {
        line.lower() for line in lines
    }
    assert body == b'{"a": 1e-400}'


@pytest.mark.parametrize("header", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
async def test_a_header_cannot_break_out_of_its_line(header: str) -> None:
    async with raw_server(in_full(OK)) as server, client() as http:
        with pytest.raises(RequestMalformed):
            await http.get(server.url, headers={"x-a": header})
    assert server.received == b""


async def test_nothing_of_httpx_acts_upon_what_a_server_says() -> None:
    hostile = answer(
        b"\x1f\x8bnot gzip",
        "302 Found",
        "location: http://[",
        "content-encoding: gzip",
        "set-cookie: a=b; path=/",
    )
    async with raw_server(in_full(hostile, OK)) as server, client() as http:
        got = await http.get(server.url)
        assert (got.status_code, got.content) == (302, b"\x1f\x8bnot gzip")
        await http.get(server.url)
    assert b"cookie" not in server.received.lower()


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    async with raw_server(in_full(OK)) as server, client() as http:
        assert (await http.get(server.url)).content == b"hello"


# What was provably not sent


async def test_refused_and_unresolvable_are_not_sent() -> None:
    async with client() as http:
        with pytest.raises(ConnectFailed, match="connect_refused") as refused:
            await http.post(f"http://127.0.0.1:{unused_port()}/", content=b"x")
        assert isinstance(refused.value, NotSent)
        assert isinstance(refused.value, httpx.ConnectError)
        with pytest.raises(ConnectFailed, match="dns_failed"):
            await http.get("http://nowhere.invalid/")


async def test_a_connect_that_hangs_is_not_sent() -> None:
    async with raw_server(hang_after()) as server, client(connect_seconds=0.1) as http:
        with pytest.raises(ConnectTimedOut, match="connect_timeout"):  # it accepts, but never shakes hands
            await http.get(server.url.replace("http://", "https://"))


async def test_a_server_that_speaks_no_tls_is_not_sent() -> None:
    async def chat(peer: Peer) -> None:
        await peer.send(b"220 welcome\r\n")
        await peer.until_client_leaves()

    async with raw_server(chat) as server, client() as http:
        with pytest.raises(ConnectFailed, match="tls_failed"):
            await http.get(server.url.replace("http://", "https://"))


async def test_no_free_connection_in_time_is_not_sent() -> None:
    async with raw_server(hang_after()) as server, client(connections_max=1, wait_seconds=0.05) as http:
        first = asyncio.create_task(http.get(server.url))

        async def received() -> bool:
            return server.received != b""

        await eventually(received)
        with pytest.raises(NoFreeConnection) as refused:
            await http.get(server.url)
        assert isinstance(refused.value, httpx.PoolTimeout)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert len(server.peers) == 1


async def test_before_send_runs_on_an_open_connection_with_nothing_written() -> None:
    seen: list[tuple[int, bytes]] = []

    async with raw_server(in_full(OK)) as server, client() as http:

        async def before_send() -> None:
            await asyncio.sleep(0.05)
            seen.append((len(server.peers), server.received))

        await http.post(server.url, content=b"x", extensions={"before_send": before_send})
    assert seen == [(1, b"")]
    assert server.received.startswith(b"POST / ")


async def test_what_before_send_raises_is_passed_on_and_nothing_is_sent() -> None:
    class FencedOff(Exception):
        pass

    refusal = FencedOff()

    async def before_send() -> None:
        raise refusal

    async with raw_server(hang_after()) as server, client() as http:
        with pytest.raises(FencedOff) as raised:
            await http.post(server.url, content=b"x", extensions={"before_send": before_send})
        assert raised.value is refusal

        async def hung_up() -> bool:
            return server.peers[0].reader.at_eof() or server.peers[0].writer.is_closing()

        await eventually(hung_up)
    assert server.received == b""


async def test_a_connection_lost_before_the_first_byte_is_not_sent() -> None:
    async def leave(peer: Peer) -> None:
        peer.reset()

    async with raw_server(leave) as server, client() as http:
        with pytest.raises(ConnectFailed, match="closed_before_send"):
            await http.post(server.url, content=b"x", extensions={"before_send": server.until_gone, "fresh": True})
    assert server.received == b""


async def test_a_deadline_that_passes_before_the_first_byte_is_not_sent() -> None:
    async with raw_server(in_full(OK)) as server, client(total_seconds=1) as http:
        with pytest.raises(ConnectTimedOut, match="total_timeout"):
            await http.post(server.url, content=b"x", extensions={"before_send": lambda: asyncio.sleep(1.2)})
    assert server.received == b""


# What may have arrived

BROKEN: dict[str, tuple[bytes, bool, type[ExchangeError], str]] = {
    "close before any byte": (b"", False, AnswerMalformed, "closed_without_answer"),
    "reset before any byte": (b"", True, AnswerLost, "connection_reset"),
    "half a status line": (b"HTTP/1.1 20", False, AnswerMalformed, "half_head"),
    "half a head": (b"HTTP/1.1 200 OK\r\ncontent-le", False, AnswerMalformed, "half_head"),
    "half a body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhell", False, AnswerMalformed, "half_body"),
    "half a chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhell", False, AnswerMalformed, "half_body"),
    "no last chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nh\r\n", False, AnswerMalformed, "half_body"),
    "only an interim": (b"HTTP/1.1 100 Continue\r\n\r\n", False, AnswerMalformed, "half_head"),
    "garbage": (b"<html>no HTTP at all", False, AnswerMalformed, "bad_answer"),
    "chunk garbage": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", False, AnswerMalformed, "bad_answer"),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", False, AnswerMalformed, "bad_answer",
    ),
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False, AnswerMalformed, "bad_answer",
    ),
    "unknown coding": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab", False, AnswerMalformed, "unknown_coding"),
    "switched protocols": (
        b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", False, AnswerMalformed, "bad_answer",
    ),
    "a head without end": (b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 70_000, False, AnswerMalformed, "head_too_large"),
    "interims without end": (b"HTTP/1.1 102 Wait\r\n\r\n" * 5_000, False, AnswerMalformed, "head_too_large"),
    "too many headers": (
        b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n", False, AnswerMalformed, "head_too_large",
    ),
    "a length over the cap": (b"HTTP/1.1 200 OK\r\ncontent-length: 10001\r\n\r\n", False, AnswerMalformed, "body_too_large"),
    "chunks over the cap": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n" + b"2000\r\n" + b"a" * 8192,
        False, AnswerMalformed, "body_too_large",
    ),
    "a body without end": (b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 20_000, False, AnswerMalformed, "body_too_large"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "reset", "kind", "reason"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_may_have_arrived(
    raw: bytes, reset: bool, kind: type[ExchangeError], reason: str
) -> None:
    async with raw_server(cut_after(raw, reset=reset)) as server, client() as http:
        with pytest.raises(kind) as raised:
            await http.post(server.url, content=b"payload")
        assert raised.value.reason == reason
        assert isinstance(raised.value, MayHaveArrived)
        assert raised.value.request.method == "POST"
        assert pool_of(http).idle == 0
    assert server.received.endswith(b"payload")


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"])
async def test_silence_is_a_read_timeout(begun: bytes) -> None:
    async with raw_server(hang_after(begun)) as server, client(read_seconds=0.1) as http:
        with pytest.raises(AnswerTimedOut, match="read_timeout"):
            await http.get(server.url)
        await asyncio.wait_for(server.peers[0].ended.wait(), 60)


async def test_a_slow_drip_ends_with_the_total() -> None:
    async def drip(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(1000):
            await peer.send(b"a")
            await asyncio.sleep(0.02)

    async with raw_server(drip) as server, client(read_seconds=0.2, total_seconds=0.4) as http:
        watch = Stopwatch()
        with pytest.raises(AnswerTimedOut, match="total_timeout"):
            await http.get(server.url)
        assert watch.seconds > 0.35
        assert watch.own_seconds < 1


async def test_a_server_that_takes_nothing_is_a_write_timeout() -> None:
    async def stuff_ears(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(5)

    async with raw_server(stuff_ears) as server, client(read_seconds=0.3) as http:
        with pytest.raises(SendTimedOut, match="write_timeout") as raised:
            await http.post(server.url, content=b"a" * 30_000_000)
        assert isinstance(raised.value, httpx.WriteTimeout)


async def test_the_status_of_a_body_that_is_cut_is_still_known() -> None:
    raw = b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 100\r\n\r\nhalf"
    async with raw_server(cut_after(raw)) as server, client() as http, http.stream("GET", server.url) as got:
        assert got.status_code == 422
        pieces: list[bytes] = []

        async def read() -> None:
            async for piece in got.aiter_raw():
                pieces.append(piece)

        with pytest.raises(AnswerMalformed, match="half_body"):
            await read()
        assert b"".join(pieces) == b"half"


async def test_a_cancelled_request_closes_its_connection() -> None:
    async with raw_server(hang_after()) as server, client() as http:

        async def received() -> bool:
            return server.received.endswith(b"x")

        task = asyncio.create_task(http.post(server.url, content=b"x"))
        await eventually(received)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (pool_of(http).busy, pool_of(http).idle) == (0, 0)
        await asyncio.wait_for(server.peers[0].ended.wait(), 60)


async def test_a_slow_reader_holds_the_server_back() -> None:
    async def flood(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(answer(b"a" * 40_000_000))
        await peer.until_client_leaves()

    async with (
        raw_server(flood) as server,
        client(body_bytes_max=50_000_000, read_seconds=0.3) as http,
        http.stream("GET", server.url) as got,
    ):
        await asyncio.sleep(0.8)  # longer than read_seconds: it is us who do not read
        waiting = server.peers[0].writer.transport.get_write_buffer_size()
        size = sum([len(piece) async for piece in got.aiter_raw()])
    assert waiting > 20_000_000
    assert size == 40_000_000
